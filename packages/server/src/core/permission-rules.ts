import { canonicalJson, isJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import { compileGlob } from './patterns/glob.ts';
import { MAX_PROGRAM, MAX_TEXT, matches, type Program } from './patterns/program.ts';
import { compileRegex, PatternError } from './patterns/regex.ts';

export type RulePolicy = 'always_allow' | 'ask' | 'deny';

/** A rule of an agent about calls of its tools, with patterns on their arguments. */
export interface PermissionRule {
  readonly policy: RulePolicy;
  /** The rule as it is written, by which an answer for the session finds the calls that it covers. */
  readonly text: string;
  readonly tool: Program;
  readonly when: readonly { readonly argument: string; readonly pattern: Program }[];
}

/** Compiles a pattern; throws PatternError when it cannot be kept to. */
export function compilePattern(pattern: { readonly glob?: string | undefined; readonly regex?: string | undefined }): Program {
  const program = pattern.regex === undefined ? compileGlob(pattern.glob ?? '') : compileRegex(pattern.regex);
  if (program.length > MAX_PROGRAM) throw new PatternError('it is too long, or repeats too much');
  return program;
}

/** Reads the rules of a resolved definition; what was stored has been checked. */
export function parsePermissionRules(rules: JsonValue | undefined): readonly PermissionRule[] {
  return Array.isArray(rules) ? rules.filter(isJsonObject).map(parseRule) : [];
}

function parseRule(rule: JsonObject): PermissionRule {
  const when = isJsonObject(rule.when) ? rule.when : {};
  return {
    policy: rule.policy === 'always_allow' || rule.policy === 'deny' ? rule.policy : 'ask',
    text: canonicalJson(rule),
    tool: compileGlob(typeof rule.tool === 'string' ? rule.tool : ''),
    when: Object.entries(when).map(([argument, pattern]) => ({ argument, pattern: compilePattern(asPattern(pattern)) })),
  };
}

function asPattern(value: JsonValue): { readonly glob?: string; readonly regex?: string } {
  if (!isJsonObject(value)) return { glob: '' };
  return typeof value.regex === 'string' ? { regex: value.regex } : { glob: typeof value.glob === 'string' ? value.glob : '' };
}

/** The rule that decides about a call: one that denies before all others, else the first that matches. */
export function findRule(rules: readonly PermissionRule[], name: string, input: JsonObject): PermissionRule | undefined {
  const applies = (rule: PermissionRule) => appliesTo(rule, name, input);
  return rules.find((rule) => rule.policy === 'deny' && applies(rule)) ?? rules.find((rule) => rule.policy !== 'deny' && applies(rule));
}

function appliesTo({ tool, when, policy }: PermissionRule, name: string, input: JsonObject): boolean {
  if (!matches(tool, name)) return false;
  return when.every(({ argument, pattern }) => {
    if (!Object.hasOwn(input, argument)) return false;
    const text = textOf(input[argument]);
    // Too long to be looked at: what would let the call through does not, what holds it up does.
    if (text.length > MAX_TEXT) return policy !== 'always_allow';
    return matches(pattern, text);
  });
}

/** A text as it is; anything else as JSON. */
function textOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : canonicalJson(value ?? null);
}
