import type { AgentCreate, AgentDefinition } from '@cloister/api';
import { PlatformError } from '../base/errors.ts';
import { PatternError } from '../core/patterns/regex.ts';
import { compilePattern } from '../core/permission-rules.ts';

/** The rules as given, once each pattern has been tried: what cannot be kept to is refused when it is written. */
export function resolvePermissionRules(rules: AgentCreate['permission_rules']): AgentDefinition['permission_rules'] {
  for (const [index, { tool, when }] of (rules ?? []).entries()) {
    requirePattern(`/permission_rules/${index}/tool`, { glob: tool });
    for (const [argument, pattern] of Object.entries(when ?? {}))
      requirePattern(`/permission_rules/${index}/when/${argument.replaceAll('~', '~0').replaceAll('/', '~1')}`, pattern);
  }
  return rules ?? [];
}

function requirePattern(pointer: string, pattern: { readonly glob?: string; readonly regex?: string }): void {
  try {
    compilePattern(pattern);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new PlatformError('request_invalid', {
      detail: `A pattern of the permission rules cannot be used: ${error.message}.`,
      fields: [{ pointer, message: error.message }],
    });
  }
}
