import { Client } from 'pg';
import { type Clock, delay } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Peers } from '../sql/engine.ts';
import type { CommitListener, CommitNotice, Preview } from '../store.ts';
import { formatBeat, formatNotices, formatPreviews, parseMessage } from './messages.ts';
import { clientConfig } from './pool.ts';

/** The connection over which the servers on one database tell each other what they have committed. */
export interface PeerLink extends Peers {
  /** Tells the other servers, soon and together with what else there is to tell; does nothing while there are none. */
  announce(notices: readonly CommitNotice[]): void;
  onNotices(listener: CommitListener): () => void;
  /** Connects, or goes on trying; resolves after the first attempt. */
  start(): Promise<void>;
  close(): Promise<void>;
}

export interface PeerOptions {
  readonly url: string;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const CHANNEL = 'cloister_commits';
const PREVIEW_CHANNEL = 'cloister_previews';
/** Says that we are here, and shows that the connection is. */
const BEAT_MS = 5000;
const PEER_LIVES_MS = 3 * BEAT_MS;
const SILENT_MS = 5000;
const PREVIEW_PAUSE_MS = 25;
const BACKOFF = { first: 50, most: 2000 } as const;
/** More than this is not kept: what is not told is found by looking. */
const MAX_WAITING = 5000;
const MAX_PREVIEWS = 1000;
const SEND = 'SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS m (channel, payload)';

/**
 * Notices are sent after the commit and outside of its transaction: the lock that PostgreSQL takes to order
 * notifications would make all commits wait for each other.
 */
export function createPeerLink({ url, nodeId, clock, log }: PeerOptions): PeerLink {
  const noticeListeners = new Set<CommitListener>();
  const previewListeners = new Set<(preview: Preview) => void>();
  const seen = new Map<string, number>();
  const ended = new AbortController();
  let client: Client | undefined;
  let isSending = false;
  let notices: CommitNotice[] = [];
  let previews: Preview[] = [];
  let beats: string[] = [];
  let cancelPreviews: (() => void) | undefined;
  let areShown = false;
  let cancelBeat: () => void = () => undefined;

  function hasPeers(): boolean {
    const now = clock.monotonic();
    for (const [node, at] of seen) if (now - at > PEER_LIVES_MS) seen.delete(node);
    return seen.size > 0;
  }

  function hear(payload: string): void {
    const message = parseMessage(payload);
    if (message === undefined || message.node === nodeId) return;
    seen.set(message.node, clock.monotonic());
    if (message.isHello === true) beat({ isHello: false });
    const { notices: told = [], previews: shown = [] } = message;
    if (told.length > 0) for (const listener of noticeListeners) listener(told);
    for (const preview of shown) for (const listener of previewListeners) listener(preview);
  }

  function beat(kind: { readonly isHello: boolean }): void {
    beats.push(formatBeat(nodeId, kind));
    void send();
  }

  /** One message is on its way at a time; what comes meanwhile goes with the next. */
  async function send(): Promise<void> {
    const current = client;
    if (isSending || current === undefined) return;
    isSending = true;
    try {
      for (;;) {
        const commits = [...beats, ...formatNotices(nodeId, merge(notices))];
        const shows = areShown ? formatPreviews(nodeId, previews) : [];
        beats = [];
        notices = [];
        if (areShown) previews = [];
        areShown = false;
        if (commits.length + shows.length === 0) return;
        const channels = [...commits.map(() => CHANNEL), ...shows.map(() => PREVIEW_CHANNEL)];
        await current.query({ name: 'tell', text: SEND, values: [channels, [...commits, ...shows]] });
      }
    } catch (error) {
      lose(current, error);
    } finally {
      isSending = false;
    }
  }

  async function connect(): Promise<void> {
    const next = new Client({
      ...clientConfig({ url }),
      fallback_application_name: 'cloister_peers',
      query_timeout: SILENT_MS,
      pipeline: true,
    });
    next.on('error', (error) => lose(next, error));
    next.on('end', () => lose(next, undefined));
    next.on('notification', ({ payload }) => hear(payload ?? ''));
    try {
      await next.connect();
      // A notice that is lost with the server is found by looking: it need not wait for the disk.
      await next.query(`SET synchronous_commit = off; LISTEN ${CHANNEL}; LISTEN ${PREVIEW_CHANNEL}`);
    } catch (error) {
      drop(next);
      throw error;
    }
    client = next;
    beat({ isHello: true });
  }

  function lose(lost: Client, error: unknown): void {
    if (client !== lost) return;
    client = undefined;
    drop(lost);
    if (ended.signal.aborted) return;
    log.warn({ reason: error instanceof Error ? error.message : 'closed' }, 'the connection to the other servers was lost; trying again');
    void reconnect();
  }

  async function reconnect(): Promise<void> {
    for (let wait: number = BACKOFF.first; !ended.signal.aborted; wait = Math.min(wait * 2, BACKOFF.most)) {
      try {
        await delay(clock, wait * (0.5 + Math.random() / 2), ended.signal);
        return await connect();
      } catch (error) {
        log.debug({ reason: error instanceof Error ? error.message : String(error) }, 'no connection to the other servers yet');
      }
    }
  }

  return {
    async start() {
      cancelBeat = clock.every(BEAT_MS, () => beat({ isHello: false }));
      await connect().catch(() => void reconnect());
    },
    announce(more) {
      if (!hasPeers() || notices.length + more.length > MAX_WAITING) return;
      notices.push(...more);
      void send();
    },
    onNotices: (listener) => subscribe(noticeListeners, listener),
    publishPreview(preview) {
      if (!hasPeers() || previews.length >= MAX_PREVIEWS) return;
      previews.push(preview);
      cancelPreviews ??= clock.after(PREVIEW_PAUSE_MS, () => {
        cancelPreviews = undefined;
        areShown = true;
        void send();
      });
    },
    onPreview: (listener) => subscribe(previewListeners, listener),
    async close() {
      ended.abort();
      cancelBeat();
      cancelPreviews?.();
      const last = client;
      client = undefined;
      // Nobody is told anything more, so how it ends does not matter.
      await last?.end().catch(() => undefined);
    },
  };
}

function subscribe<L extends (...args: never[]) => void>(listeners: Set<(...args: Parameters<L>) => void>, listener: L): () => void {
  const own = (...args: Parameters<L>): void => listener(...args);
  listeners.add(own);
  return () => void listeners.delete(own);
}

/** Its end may never be answered. */
function drop(client: Client): void {
  client.end().catch(() => undefined);
}

/** Several notices of one session as one, unless they bring what is in no log. */
function merge(notices: readonly CommitNotice[]): readonly CommitNotice[] {
  const merged = new Map<string, CommitNotice>();
  const whole: CommitNotice[] = [];
  for (const notice of notices) {
    if (notice.types.includes('session.deleted')) {
      whole.push(notice);
      continue;
    }
    const known = merged.get(notice.sessionId);
    merged.set(notice.sessionId, known === undefined ? notice : join(known, notice));
  }
  return [...merged.values(), ...whole];
}

function join(a: CommitNotice, b: CommitNotice): CommitNotice {
  const { events: _, ...known } = a;
  const types = [...new Set([...a.types, ...b.types])];
  return { ...known, fromSeq: Math.min(a.fromSeq, b.fromSeq), toSeq: Math.max(a.toSeq, b.toSeq), types };
}
