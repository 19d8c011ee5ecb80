import { isProblemCode } from '@cloister/api';
import { isPlatformError } from '../base/errors.ts';
import { redact } from '../base/redaction/redaction.ts';
import type { ModelFailure } from '../egress/gateway.ts';
import { AgentFailure } from '../harness/acp/connection.ts';
import type { TurnProblem } from './events.ts';

/**
 * Why a prompt failed, as exactly as we know it. The gateway saw the model's answer itself, so its word
 * comes before the agent's; what the agent says is quoted, since it may be the only trace.
 */
export function describeFailure(error: unknown, modelFailure: ModelFailure | undefined): TurnProblem {
  const { code, message } = reasonOf(error, modelFailure);
  return { code, message: redact(message) };
}

function reasonOf(error: unknown, modelFailure: ModelFailure | undefined): TurnProblem {
  if (error instanceof AgentFailure) {
    if (modelFailure !== undefined) return { code: modelFailure.code, message: modelFailure.message };
    return { code: 'harness_failed', message: `The agent failed: ${error.message.replace(/^Internal error: /, '').slice(0, 1000)}` };
  }
  if (isPlatformError(error) && isProblemCode(error.code)) return { code: error.code, message: error.detail };
  return { code: 'bug', message: 'Something went wrong inside Cloister.' };
}
