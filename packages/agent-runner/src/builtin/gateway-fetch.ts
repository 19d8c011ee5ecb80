import type { IncomingMessage } from 'node:http';

/** The gateway gives up after ten minutes without a byte and says so; this is for a gateway that is itself gone. */
const SILENCE_MS = 660_000;

/**
 * `fetch` straight to the gateway's unix socket: the host and port of the address are not used. Unlike the
 * global one it waits through long silences of a model, and an abort closes the connection at once, which is
 * how the gateway learns that it must stop the upstream call.
 */
export function createGatewayFetch(socketPath: string): typeof globalThis.fetch {
  return async (input, init) => {
    // Loaded late: the module brings all of Node's web client with it.
    const { request } = await import('node:http');
    const outgoing = new Request(input, init);
    const body = Buffer.from(await outgoing.arrayBuffer());
    const url = new URL(outgoing.url);
    const headers = { ...Object.fromEntries(outgoing.headers), host: url.host, 'content-length': String(body.length) };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const call = request(
      {
        socketPath,
        method: outgoing.method,
        path: `${url.pathname}${url.search}`,
        headers,
        agent: false,
        signal: outgoing.signal,
        timeout: SILENCE_MS,
      },
      resolve,
    );
    call.once('timeout', () => call.destroy(new Error(`the gateway said nothing for ${SILENCE_MS} ms`)));
    call.on('error', reject);
    call.end(body);
    return toResponse(await promise.catch((error: unknown) => Promise.reject(toFetchError(error, outgoing.signal))), outgoing.signal);
  };
}

/** The shape by which callers of `fetch` know a network failure, and an abort by its own reason. */
function toFetchError(error: unknown, signal: AbortSignal): unknown {
  return signal.aborted ? signal.reason : new TypeError('fetch failed', { cause: error });
}

const BODILESS = [204, 205, 304];

function toResponse(message: IncomingMessage, signal: AbortSignal): Response {
  const headers = new Headers();
  for (const [name, values] of Object.entries(message.headersDistinct)) for (const value of values ?? []) headers.append(name, value);
  const status = message.statusCode ?? 502;
  const body = BODILESS.includes(status) ? null : toBody(message, signal);
  if (body === null) message.resume();
  return new Response(body, { status, statusText: message.statusMessage ?? '', headers });
}

function toBody(message: IncomingMessage, signal: AbortSignal): ReadableStream<Uint8Array> {
  // A stream that was cancelled is closed already, and closing it again throws.
  let isOpen = true;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      message.on('data', (chunk: Buffer) => {
        if (!isOpen) return;
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 1) <= 0) message.pause();
      });
      message.once('end', () => {
        if (isOpen) controller.close();
      });
      message.once('error', (error) => {
        if (isOpen) controller.error(toFetchError(error, signal));
      });
    },
    pull: () => {
      message.resume();
    },
    cancel: () => {
      isOpen = false;
      message.destroy();
    },
  });
}
