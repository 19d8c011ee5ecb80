import { ClientError, isProblemCode, PROBLEMS } from '@cloister/api';
import { isPlatformError } from '../base/errors.ts';
import { redact } from '../base/redaction/redaction.ts';
import { exitCodeOfKind, exitCodeOfStatus } from './exit-code-of.ts';
import { EXIT } from './exit-codes.ts';
import { note, printable } from './output.ts';
import { exitCodeOfUsage } from './usage-error.ts';

interface Explanation {
  readonly title: string;
  readonly detail?: string | undefined;
  readonly fix?: string | undefined;
  readonly requestId?: string | undefined;
}

/** A failure of the command itself, already in plain words. */
export class CommandError extends Error {
  readonly exitCode: number;
  readonly explanation: Explanation;

  constructor(exitCode: number, explanation: Explanation, cause?: unknown) {
    super(explanation.title, { cause });
    this.exitCode = exitCode;
    this.explanation = explanation;
  }
}

/** Says what went wrong on stderr, never with a stack, and answers the exit code. */
export function reportError(error: unknown): number {
  const usage = exitCodeOfUsage(error);
  if (usage !== undefined) return usage;
  const { exitCode, explanation } = explain(error);
  const shown = (text: string) => printable(redact(text));
  note(`error: ${shown(explanation.title)}`, 'red');
  if (explanation.detail !== undefined && explanation.detail !== explanation.title) note(`  ${shown(explanation.detail)}`, 'reset');
  if (explanation.fix !== undefined) note(`  Fix: ${printable(explanation.fix)}`, 'reset');
  if (explanation.requestId !== undefined) note(`  Request: ${printable(explanation.requestId)}`);
  return exitCode;
}

function explain(error: unknown): { exitCode: number; explanation: Explanation } {
  if (error instanceof CommandError) return error;
  if (error instanceof ClientError) {
    const { message, fix, requestId } = error;
    const title = isProblemCode(error.code) ? PROBLEMS[error.code].title : message;
    return { exitCode: exitCodeOfStatus(error.status), explanation: { title, detail: message, fix, requestId } };
  }
  if (isPlatformError(error)) {
    const { kind, title, fix } = PROBLEMS[error.code];
    return { exitCode: exitCodeOfKind(kind), explanation: { title, detail: error.detail, fix } };
  }
  if (error instanceof TypeError && error.message === 'fetch failed') {
    const title = 'No server answers.';
    const fix = 'Start it with `npm start`, or set CLOISTER_URL (or HOST and PORT) to where it is.';
    return { exitCode: EXIT.unreachable, explanation: { title, detail: causeOf(error), fix } };
  }
  return { exitCode: EXIT.failed, explanation: { title: error instanceof Error ? error.message : String(error) } };
}

function causeOf(error: Error): string | undefined {
  return error.cause instanceof Error && error.cause.message !== '' ? `${error.cause.message}.` : undefined;
}
