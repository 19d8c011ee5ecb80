import type { IncomingMessage, ServerResponse } from 'node:http';
import { isPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { CallOwner, HeldTurn, ModelAccounts } from '../core/model-accounts.ts';
import { type CallTracker, NO_USAGE } from './call-tracker.ts';
import { isRecord, parseJson, textAt } from './json.ts';
import { boundOutput } from './output-bound.ts';
import type { ModelRoute } from './routes.ts';
import { sendWireError } from './wire-response.ts';
import type { GatewayError } from './wires/wire.ts';

export interface AdmissionOptions {
  readonly accounts: ModelAccounts;
  readonly owner: CallOwner;
  readonly turn: HeldTurn | undefined;
  readonly route: ModelRoute;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly tracker: CallTracker;
  readonly log: Logger;
  readonly maxBodyBytes: number;
  /** The call may go, with this body. */
  readonly onAdmitted: (body: Buffer) => void;
  /** It is over without having gone. */
  readonly onOver: () => void;
}

/**
 * Reads a request whole and holds it until the budgets have room for it: what the answer may be is in the body. While
 * it is held the sandbox's connection stays open, and nothing goes to the provider.
 */
export function holdCall(options: AdmissionOptions): { abort(): void } {
  const { response } = options;
  const gone = new AbortController();
  const onClose = () => gone.abort(new Error('the sandbox hung up'));
  response.once('close', onClose);
  admit(options, gone.signal)
    .catch((error: unknown) => fail(options, gone.signal, error))
    .finally(() => response.off('close', onClose));
  return { abort: () => void response.destroy() };
}

async function admit(options: AdmissionOptions, signal: AbortSignal): Promise<void> {
  const { accounts, owner, turn, route, request, tracker, maxBodyBytes } = options;
  const raw = await readBody(request, maxBodyBytes);
  signal.throwIfAborted();
  if (raw === undefined) {
    const limit = Math.floor(maxBodyBytes / 1024 / 1024);
    return refuse(options, { code: 'model_request_rejected', status: 413, message: `The request is larger than ${limit} MiB.` });
  }
  const parsed = parseJson(raw.toString('utf8'));
  if (!isRecord(parsed)) return refuse(options, { code: 'model_request_rejected', status: 400, message: 'The request is no JSON object.' });
  // Written anew, so that the provider reads what was reckoned with: of a field that comes twice, the same one.
  const { body, maxOutputTokens } = boundOutput(route, parsed, accounts.defaultMaxOutputTokens);
  const json = Buffer.from(JSON.stringify(body));
  const model = route.model ?? textAt(parsed, 'model') ?? null;
  const call = { ...owner, id: tracker.callId, provider: route.provider, model, startedAt: tracker.startedAt };
  const admission = await accounts.admit({ ...call, requestBytes: json.length, maxOutputTokens }, turn, signal);
  signal.throwIfAborted();
  tracker.begin(model);
  if (admission.type === 'admitted') return options.onAdmitted(json);
  refuse(options, { code: 'budget_reached', status: 403, message: admission.message });
}

/** No more is read than allowed; undefined when there is more. */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    const piece = Buffer.from(chunk);
    bytes += piece.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(piece);
  }
  return Buffer.concat(chunks);
}

function fail(options: AdmissionOptions, signal: AbortSignal, error: unknown): void {
  const { tracker, response, log, onOver } = options;
  if (signal.aborted || response.destroyed) {
    tracker.end(NO_USAGE, 'aborted', null);
    onOver();
    return;
  }
  log.error({ err: error }, 'it could not be found out whether a model call may be made');
  const code = isPlatformError(error) ? error.code : 'bug';
  refuse(options, { code, status: 503, message: 'The budgets cannot be looked at right now.' }, { isFinal: false });
}

function refuse(options: AdmissionOptions, error: GatewayError, { isFinal = true } = {}): void {
  const { tracker, route, request, response, onOver } = options;
  tracker.end(NO_USAGE, { code: error.code, message: error.message, status: null, retryAfterMs: null }, route.model);
  if (!request.complete) response.setHeader('connection', 'close');
  request.resume();
  sendWireError(response, route.wire, error, isFinal ? { 'x-should-retry': 'false' } : {});
  onOver();
}
