import { type ClientRequest, type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import type { ProblemCode } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { redactKnown, rememberSecret } from '../base/redaction/redaction.ts';
import type { ProviderConfig } from '../config.ts';
import { type CallTracker, NO_USAGE } from './call-tracker.ts';
import { errorCode } from './dial.ts';
import { failureOfAnswer } from './failures.ts';
import type { ModelCallEnd, ModelFailure } from './gateway.ts';
import { returnedHeaders, upstreamHeaders } from './headers.ts';
import { createIdleTimer, type IdleTimer } from './idle-timer.ts';
import { createMeter, type Meter } from './meter.ts';
import { createModelNameScanner } from './model-name.ts';
import { credentialsRefused, PROXY_WANTS_CREDENTIALS } from './proxy-tunnel.ts';
import { type ModelRoute, upstreamUrl } from './routes.ts';
import type { UpstreamAgents } from './upstream-agents.ts';
import { sendWireError } from './wire-response.ts';
import type { GatewayError } from './wires/wire.ts';

export interface ModelCallOptions {
  readonly route: ModelRoute;
  readonly config: ProviderConfig;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly tracker: CallTracker;
  /** What goes up instead of the request's own body, which was read before. */
  readonly body?: Buffer | undefined;
  readonly agents: UpstreamAgents;
  readonly clock: Clock;
  readonly log: Logger;
  readonly modelIdleMs: number;
  readonly connectTimeoutMs: number;
  readonly maxBodyBytes: number;
  /** Called once, when nothing of the call is under way any more. */
  readonly onDone: () => void;
}

/** A request that is still this small can be sent again on a fresh connection. */
const MAX_REPLAY_BYTES = 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;
/** How long a client may take to read the last words before its connection is dropped. */
const LAST_WORDS_MS = 5_000;

/**
 * One request of a sandbox on its way to a model provider and back. Bytes go both ways as they come;
 * what the call holds is bounded, whatever either side sends. It ends exactly once: with the whole
 * answer, with a failure, or aborted; and whoever ends it, the other side is let go at once.
 */
export class ModelCall {
  readonly #options: ModelCallOptions;
  readonly #idle: IdleTimer;
  #upstream: ClientRequest | undefined;
  #meter: Meter | undefined;
  #cancelConnect: () => void = () => undefined;
  #isOver = false;
  #isConnected = false;
  #isAnswered = false;
  #isClientStalled = false;
  #bodyBytes = 0;
  #answerBytes = 0;
  #isStream = false;
  #isBodySent = false;
  #replay: Buffer[] | undefined = [];

  constructor(options: ModelCallOptions) {
    this.#options = options;
    this.#idle = createIdleTimer(options.clock, options.modelIdleMs, () => this.#onIdle());
  }

  start(): void {
    const { request, response, route, tracker, maxBodyBytes, body } = this.#options;
    response.once('close', () => this.#onClientClosed());
    if (route.model !== null) tracker.begin(route.model);
    if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) {
      this.#tooLarge();
      return;
    }
    this.#openUpstream(true);
    if (body !== undefined) {
      this.#sendBody(body);
      this.#endBody();
      return;
    }
    const scan = route.isGeneration && route.model === null ? createModelNameScanner((name) => tracker.begin(name)) : () => undefined;
    request.on('data', (chunk: Buffer) => {
      scan(chunk);
      this.#sendBody(chunk);
    });
    request.once('end', () => this.#endBody());
  }

  /** Stops the call from this side, for an interrupt or a closing gateway. */
  abort(): void {
    if (this.#isOver) return;
    this.#finish('aborted');
    this.#options.response.destroy();
  }

  // The request, on its way up.

  #sendBody(chunk: Buffer): void {
    if (this.#isOver || this.#isAnswered) return;
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes > this.#options.maxBodyBytes) {
      this.#tooLarge();
      return;
    }
    this.#idle.touch();
    if (this.#bodyBytes <= MAX_REPLAY_BYTES) this.#replay?.push(chunk);
    else this.#replay = undefined;
    if (this.#upstream?.write(chunk) === false) this.#options.request.pause();
  }

  #endBody(): void {
    this.#isBodySent = true;
    if (this.#isOver) return;
    this.#options.tracker.begin(null);
    this.#idle.touch();
    this.#upstream?.end();
  }

  #openUpstream(isReuseAllowed: boolean): void {
    const { route, config, request, agents, clock, connectTimeoutMs, body } = this.#options;
    const url = upstreamUrl(route, request.url?.split('?', 2)[1] ?? '', config);
    const headers = upstreamHeaders(request.headers, config.auth);
    if (body !== undefined) headers['content-length'] = body.length;
    const isSecure = url.protocol === 'https:';
    const { http, https } = isReuseAllowed ? agents : agents.fresh;
    const { proxy, headers: more, ...form } = agents.formOf(url);
    const method = request.method ?? 'POST';
    const options = { method, headers: { ...headers, ...more }, agent: isSecure ? https : http, ...form };
    const upstream = (isSecure ? requestHttps : requestHttp)(url, options);
    this.#upstream = upstream;
    this.#cancelConnect = clock.after(connectTimeoutMs, () => {
      if (!this.#isConnected) this.#unreachable('it did not accept the connection in time');
    });
    upstream.on('socket', (socket: Socket) => this.#watchConnection(socket, isSecure));
    upstream.on('drain', () => request.resume());
    upstream.on('response', (answer) => {
      if (proxy === undefined || answer.statusCode !== PROXY_WANTS_CREDENTIALS) return this.#onAnswer(answer);
      this.#unreachable(credentialsRefused(proxy, { host: url.hostname, port: Number(url.port || 80) }));
    });
    upstream.on('error', (error) => this.#onUpstreamError(upstream, error));
  }

  #watchConnection(socket: Socket, isSecure: boolean): void {
    const onConnected = () => {
      this.#isConnected = true;
      this.#cancelConnect();
      this.#idle.touch();
    };
    if (!socket.connecting) onConnected();
    else socket.once(isSecure ? 'secureConnect' : 'connect', onConnected);
  }

  #onUpstreamError(upstream: ClientRequest, error: Error): void {
    if (this.#isOver || upstream !== this.#upstream) return;
    // A kept connection may have been closed just as it was taken: that request never arrived.
    if (upstream.reusedSocket && !this.#isAnswered && this.#replay !== undefined) {
      this.#sendAgain(this.#replay);
      return;
    }
    if (this.#isAnswered) this.#cut();
    else if (this.#isConnected)
      this.#fail('model_stream_cut', 502, `The provider closed the connection before it answered (${errorCode(error)}).`);
    else if (isPlatformError(error, 'egress_denied')) this.#fail('egress_denied', 403, error.detail, { isFinal: true });
    else this.#unreachable(error);
  }

  #sendAgain(body: readonly Buffer[]): void {
    this.#cancelConnect();
    this.#isConnected = false;
    this.#openUpstream(false);
    for (const chunk of body) this.#upstream?.write(chunk);
    if (this.#isBodySent) this.#upstream?.end();
    else this.#options.request.resume();
  }

  // The answer, on its way down.

  #onAnswer(answer: IncomingMessage): void {
    if (this.#isOver) return void answer.destroy();
    const { response, route } = this.#options;
    const status = answer.statusCode ?? 502;
    this.#isAnswered = true;
    this.#idle.touch();
    // Whatever of the request is still to come is read and dropped.
    this.#options.request.resume();
    answer.once('error', () => this.#cut());
    if (status >= 300 && status < 400) {
      const message = `The provider answered with a redirect (${status}), which the gateway does not follow; correct its base URL.`;
      this.#fail('model_api_failed', 502, message, { isFinal: true });
      return;
    }
    if (status >= 400) {
      this.#collectError(answer, status);
      return;
    }
    this.#isStream = (answer.headers['content-type'] ?? '').startsWith('text/event-stream');
    if (route.isGeneration) this.#meter = createMeter(route.wire, this.#isStream);
    response.writeHead(status, returnedHeaders(answer.headers));
    response.flushHeaders();
    response.on('drain', () => this.#onClientReads(answer));
    answer.on('data', (chunk: Buffer) => this.#passOn(answer, chunk));
    answer.once('end', () => this.#onAnswerEnd(answer));
  }

  #passOn(answer: IncomingMessage, chunk: Buffer): void {
    if (this.#isOver) return;
    this.#idle.touch();
    this.#answerBytes += chunk.length;
    this.#meter?.push(chunk);
    // Told before the client sees the end, so that nobody finds the turn over and the counts missing.
    if (this.#meter?.isFinal() === true) this.#tellEnd(this.#meter.failure());
    if (this.#options.response.write(chunk)) return;
    this.#isClientStalled = true;
    answer.pause();
  }

  #onClientReads(answer: IncomingMessage): void {
    this.#isClientStalled = false;
    this.#idle.touch();
    answer.resume();
  }

  #onAnswerEnd(answer: IncomingMessage): void {
    if (this.#isOver) return;
    this.#meter?.end();
    const failure = this.#meter?.failure();
    if (failure === undefined && (!answer.complete || this.#meter?.isComplete() === false)) {
      this.#cut();
      return;
    }
    this.#finish(failure);
    this.#options.response.end();
  }

  #collectError(answer: IncomingMessage, status: number): void {
    const chunks: Buffer[] = [];
    let bytes = 0;
    answer.on('data', (chunk: Buffer) => {
      this.#idle.touch();
      bytes += chunk.length;
      if (bytes <= MAX_ERROR_BYTES) chunks.push(chunk);
    });
    answer.once('end', () => {
      if (this.#isOver) return;
      const { response, clock } = this.#options;
      const body = this.#redact(Buffer.concat(chunks).toString('utf8'));
      this.#finish(failureOfAnswer(status, answer.headers, body, clock.now()));
      const headers = { ...returnedHeaders(answer.headers), 'content-length': Buffer.byteLength(body) };
      response.writeHead(status, headers).end(body);
    });
  }

  /** No provider has reason to repeat our key; if one does, in whatever form, it does not get into a sandbox or a log. */
  #redact(text: string): string {
    const value = this.#options.config.auth?.value;
    if (value !== undefined) rememberSecret(value.replace(/^Bearer /, ''));
    return redactKnown(text);
  }

  // The ways it ends.

  #onIdle(): void {
    if (this.#isOver) return;
    if (this.#isClientStalled) {
      this.abort();
      return;
    }
    const seconds = Math.round(this.#options.modelIdleMs / 1000);
    this.#fail('model_silent', 504, `The provider sent nothing for ${seconds} seconds.`, { isFinal: true });
  }

  #onClientClosed(): void {
    if (this.#isOver) return;
    const failure = this.#meter?.failure();
    this.#finish(failure ?? (this.#meter?.isComplete() === true ? undefined : 'aborted'));
    this.#upstream?.destroy();
  }

  #tooLarge(): void {
    const limit = Math.floor(this.#options.maxBodyBytes / 1024 / 1024);
    this.#fail('model_request_rejected', 413, `The request is larger than the gateway passes on (${limit} MiB).`, { isFinal: true });
  }

  #unreachable(why: string | Error): void {
    const { origin } = new URL(this.#options.config.baseUrl);
    if (isPlatformError(why, 'egress_proxy_failed')) this.#options.log.warn({ err: why }, 'a provider was not reached by the proxy');
    const reason = typeof why === 'string' ? why : isPlatformError(why) ? reasonIn(why.detail) : errorCode(why);
    this.#fail('model_unreachable', 502, `The provider at ${origin} could not be reached: ${reason}.`);
  }

  #cut(): void {
    if (this.#isOver) return;
    this.#fail('model_stream_cut', 502, "The provider's answer broke off before its end.");
  }

  /** Ends the call with an error of our own; `isFinal` asks the client's library not to try again by itself. */
  #fail(code: ProblemCode, status: number, message: string, { isFinal = false } = {}): void {
    if (this.#isOver) return;
    const { response, request, route } = this.#options;
    this.#finish({ code, message, status: null, retryAfterMs: null });
    const error = { code, status, message };
    if (response.headersSent) {
      this.#breakOff(error);
      return;
    }
    // Where the sandbox is still sending, the connection ends with the answer.
    if (!request.complete) response.setHeader('connection', 'close');
    request.resume();
    sendWireError(response, route.wire, error, isFinal ? { 'x-should-retry': 'false' } : {});
  }

  /** An answer that has begun cannot be taken back: it says what it can, then the connection breaks. */
  #breakOff(error: GatewayError): void {
    const { response, route, clock } = this.#options;
    const event = this.#meter?.isBetweenEvents() === true ? route.wire.renderStreamError(error) : undefined;
    if (event === undefined || response.socket === null) return void response.destroy();
    response.write(event);
    response.socket.destroySoon();
    const cancel = clock.after(LAST_WORDS_MS, () => response.destroy());
    response.once('close', cancel);
  }

  #tellEnd(failure: ModelCallEnd['failure']): void {
    const { tracker, route } = this.#options;
    const usage = this.#meter?.usage() ?? NO_USAGE;
    const isCounted = this.#meter?.isComplete() === true && usage.inputTokens + usage.cacheReadTokens + usage.outputTokens > 0;
    const traffic = { requestBytes: this.#bodyBytes, answerBytes: this.#answerBytes, isStream: this.#isStream, isCounted };
    tracker.end(usage, failure, this.#meter?.model() ?? route.model, traffic);
  }

  #finish(failure: ModelFailure | 'aborted' | undefined): void {
    this.#isOver = true;
    this.#idle.stop();
    this.#cancelConnect();
    this.#replay = undefined;
    if (typeof failure === 'object') this.#options.log.warn({ provider: this.#options.route.provider, failure }, 'a model call failed');
    this.#tellEnd(failure);
    // A whole answer leaves its connection to the next call; anything else must stop the provider now.
    if (failure !== undefined) this.#upstream?.destroy();
    this.#options.onDone();
  }
}

/** What opened the connection knows why it has none; where to is said already. */
function reasonIn(detail: string): string {
  return detail.replace(/^\S+ could not be reached: /, '').replace(/\.$/, '');
}
