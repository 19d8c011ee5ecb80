// The readers of the bench `sse`, in a process of their own: sockets and as little parsing as can be, so that what is
// measured is the server. It takes orders from its parent and answers each with one report.
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { summary } from './row.ts';

export type Order =
  | { readonly type: 'open'; readonly url: string; readonly key: string; readonly sessions: readonly string[]; readonly readers: number }
  /** Forget the delays so far. */
  | { readonly type: 'begin' }
  /** Cut all connections at once, and come back with the last id. */
  | { readonly type: 'storm' }
  /** Wait until all have read this far. */
  | { readonly type: 'end'; readonly heads: Readonly<Record<string, number>> };

export interface Report {
  readonly events: number;
  /** Delays from the sending of a message to its arrival at the reader, in ms. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Readers that have not got what the order waits for. */
  readonly behind: number;
  readonly gaps: number;
  readonly doubles: number;
  /** How long the order took, in ms. */
  readonly tookMs: number;
}

interface Reader {
  readonly session: string;
  socket: Socket | undefined;
  cursor: number;
  rest: string;
  /** Has got an event since it connected. */
  hasNews: boolean;
  isClosing: boolean;
}

const PER_BATCH = 50;
const BATCH_PAUSE_MS = 20;
const LIMIT_MS = 60_000;
const RETRY_MS = 200;
const POLL_MS = 5;

const readers: Reader[] = [];
let delays: number[] = [];
let gaps = 0;
let doubles = 0;
let server = { host: '', port: 0, key: '' };

process.on('message', (order: Order) => {
  obey(order).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});

async function obey(order: Order): Promise<Report> {
  const began = performance.now();
  let behind = 0;
  switch (order.type) {
    case 'open':
      behind = await open(order);
      break;
    case 'begin':
      delays = [];
      break;
    case 'storm':
      behind = await storm();
      break;
    case 'end':
      behind = await until(({ cursor, session }) => cursor >= (order.heads[session] ?? 0));
  }
  const { p50, p99, max } = summary(delays);
  return { events: delays.length, p50, p99, max, behind, gaps, doubles, tookMs: performance.now() - began };
}

async function open({ url, key, sessions, readers: count }: Extract<Order, { type: 'open' }>): Promise<number> {
  const { hostname, port } = new URL(url);
  server = { host: hostname, port: Number(port), key };
  for (let n = 0; n < count; n++) {
    const session = sessions[n % sessions.length] ?? '';
    const reader: Reader = { session, socket: undefined, cursor: 0, rest: '', hasNews: false, isClosing: false };
    readers.push(reader);
    dial(reader);
    if (n % PER_BATCH === 0) await sleep(BATCH_PAUSE_MS);
  }
  return until(({ hasNews }) => hasNews);
}

async function storm(): Promise<number> {
  for (const reader of readers) {
    reader.isClosing = true;
    reader.socket?.destroy();
  }
  for (const reader of readers) dial(reader);
  return until(({ hasNews }) => hasNews);
}

/** How many do not get there in time. */
async function until(isThere: (reader: Reader) => boolean): Promise<number> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const behind = readers.filter((reader) => !isThere(reader)).length;
    if (behind === 0 || performance.now() > deadline) return behind;
    await sleep(POLL_MS);
  }
}

function dial(reader: Reader): void {
  const socket = connect(server);
  Object.assign(reader, { socket, rest: '', hasNews: false, isClosing: false });
  socket.on('connect', () => {
    const head = [
      `GET /v1/sessions/${reader.session}/events/stream HTTP/1.1`,
      `Host: ${server.host}:${server.port}`,
      `X-Api-Key: ${server.key}`,
      `Last-Event-ID: ${reader.cursor}`,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
  });
  socket.on('data', (chunk) => {
    if (reader.socket === socket) read(reader, chunk.toString('latin1'));
  });
  // Why it ended does not matter: a reader comes back, with the last id it has.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    if (reader.socket === socket && !reader.isClosing) setTimeout(() => dial(reader), RETRY_MS);
  });
}

/** Finds the frames by their first line; the server writes each as a whole, so no chunk's length stands inside one. */
function read(reader: Reader, chunk: string): void {
  const arrivedAt = performance.timeOrigin + performance.now();
  const text = reader.rest + chunk;
  let from = 0;
  for (;;) {
    const at = text.indexOf('\nid: ', from);
    const end = at < 0 ? -1 : text.indexOf('\n\n', at);
    if (end < 0) {
      // A first line of the next frame may be cut in two.
      reader.rest = at < 0 ? text.slice(-5) : text.slice(at);
      return;
    }
    take(reader, Number.parseInt(text.slice(at + 5, at + 25), 10));
    const sent = text.indexOf('sent=', at);
    if (sent >= 0 && sent < end) delays.push(arrivedAt - Number.parseFloat(text.slice(sent + 5, sent + 25)));
    from = end;
  }
}

function take(reader: Reader, seq: number): void {
  if (seq > reader.cursor + 1) gaps++;
  if (seq <= reader.cursor) doubles++;
  reader.cursor = Math.max(reader.cursor, seq);
  reader.hasNews = true;
}
