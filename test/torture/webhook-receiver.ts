import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { Delivered } from './history.ts';
import type { Random } from './random.ts';

export interface WebhookReceiver extends AsyncDisposable {
  readonly url: string;
  readonly delivered: readonly Delivered[];
  /** The secret that the server gave for the endpoint; nothing is valid before. */
  expect(secret: string): void;
  close(): Promise<void>;
}

/** How often the first attempt of a message is refused, and how often its answer comes to nobody. */
const REFUSED = 0.03;
const LOST = 0.03;

/** Takes what Standard Webhooks 1.0 sends, and is not always in good health. */
export async function startWebhookReceiver(random: Random): Promise<WebhookReceiver> {
  const delivered: Delivered[] = [];
  const seen = new Set<string>();
  let secret: string | undefined;
  const server = createServer((request, response) => {
    void readBody(request).then(
      (body) => {
        const id = header(request.headers, 'webhook-id');
        const isFirst = !seen.has(id);
        seen.add(id);
        const isRefused = isFirst && random.isLucky(REFUSED);
        const isLost = isFirst && random.isLucky(LOST);
        const status = isLost ? null : isRefused ? 500 : 204;
        delivered.push({ ...describe(body), id, status, isSigned: secret !== undefined && isSigned(request.headers, body, secret) });
        if (status === null) response.destroy();
        else response.writeHead(status).end();
      },
      // The sender was killed in the middle: nothing was delivered.
      () => response.destroy(),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the receiver has no port');
  const close = async (): Promise<void> => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  return {
    url: `http://127.0.0.1:${address.port}/`,
    delivered,
    expect: (given) => {
      secret = given;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

function describe(body: string): Pick<Delivered, 'type' | 'sessionId' | 'turnId' | 'bodyHash'> {
  // What the published shape of a webhook says; a body of another shape fails the run.
  const { data } = JSON.parse(body) as { data: { type: string; session_id?: string | null; turn_id?: string | null } };
  return {
    type: data.type,
    sessionId: data.session_id ?? null,
    turnId: data.turn_id ?? null,
    bodyHash: createHash('sha256').update(body).digest('hex'),
  };
}

function isSigned(headers: IncomingHttpHeaders, body: string, secret: string): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const content = `${header(headers, 'webhook-id')}.${header(headers, 'webhook-timestamp')}.${body}`;
  const expected = Buffer.from(`v1,${createHmac('sha256', key).update(content).digest('base64')}`);
  const given = header(headers, 'webhook-signature')
    .split(' ')
    .map((text) => Buffer.from(text));
  return given.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}

function header(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  return typeof value === 'string' ? value : '';
}
