import type { AdapterProblem, RenderedError } from './support.ts';

interface Detail {
  readonly type: string;
  readonly loc: readonly string[];
  readonly msg: string;
}

/** Requests that cannot be read, which FastAPI answers with 422 and a list. */
const UNREADABLE: ReadonlySet<string> = new Set(['request_invalid', 'json_malformed', 'content_type_unsupported', 'idempotency_mismatch']);
const HEADERS: ReadonlySet<string> = new Set(['Idempotency-Key', 'Last-Event-ID']);

/** The status that FastAPI has for a code. */
export function detailStatus(code: string, status: number): number {
  if (UNREADABLE.has(code)) return 422;
  // What a turn failed of is no concern of a proxy in between.
  return status === 502 ? 500 : status;
}

/** An error as FastAPI tells it. `code` and `fix` are ours, beside what its clients look at. */
export function renderDetail({ status, error }: AdapterProblem): RenderedError {
  const { code, fix, message } = error;
  if (code === 'bug') return { status, body: { error: 'Internal Server Error', detail: message, code, fix } };
  const detail = UNREADABLE.has(code) ? detailsOf(error) : `${message} ${fix}`.trim();
  return { status: detailStatus(code, status), body: { detail, code, fix } };
}

function detailsOf({ code, message, errors = [] }: AdapterProblem['error']): readonly Detail[] {
  if (errors.length === 0) return [{ type: code === 'json_malformed' ? 'json_invalid' : 'value_error', loc: ['body'], msg: message }];
  return errors.map(({ pointer, message: why }) => {
    const isMissing = why.endsWith('received undefined');
    return { type: isMissing ? 'missing' : 'value_error', loc: locationOf(pointer), msg: isMissing ? 'Field required' : why };
  });
}

function locationOf(pointer: string): readonly string[] {
  if (pointer === '' || pointer.startsWith('/'))
    return [
      'body',
      ...pointer
        .split('/')
        .slice(1)
        .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')),
    ];
  return [HEADERS.has(pointer) ? 'header' : 'query', pointer];
}
