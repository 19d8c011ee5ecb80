import { Client } from 'pg';
import { type Clock, delay } from '../../base/clock.ts';
import { jittered } from '../../base/jitter.ts';
import type { Logger } from '../../base/log.ts';
import { CHANNEL, type Letter, PREVIEW_CHANNEL } from './mailbox.ts';
import { clientConfig } from './pool.ts';

/** The one connection that listens, and over which is told; comes back by itself when it is lost. */
export interface PeerConnection {
  /** Connects, or goes on trying; resolves after the first attempt. */
  start(): Promise<void>;
  isUp(): boolean;
  /** What cannot be sent is lost. */
  send(letters: readonly Letter[]): Promise<void>;
  close(): Promise<void>;
}

export interface PeerConnectionDeps {
  readonly url: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onPayload: (payload: string) => void;
  readonly onUp: () => void;
}

const SILENT_MS = 5000;
const BACKOFF = { first: 50, most: 2000 } as const;
const SEND = 'SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS letter (channel, payload)';

export function createPeerConnection({ url, clock, log, onPayload, onUp }: PeerConnectionDeps): PeerConnection {
  const ended = new AbortController();
  let current: Client | undefined;

  async function connect(): Promise<void> {
    const client = new Client({
      ...clientConfig({ url }),
      fallback_application_name: 'cloister_peers',
      query_timeout: SILENT_MS,
      // A silent connection is cut, and not only given up.
      pipeline: true,
    });
    client.on('error', (error) => lose(client, error.message));
    client.on('end', () => lose(client, 'closed'));
    client.on('notification', ({ payload = '' }) => onPayload(payload));
    try {
      await client.connect();
      // A notice that is lost with the server is found by looking: it need not wait for the disk.
      await client.query(`SET synchronous_commit = off; LISTEN ${CHANNEL}; LISTEN ${PREVIEW_CHANNEL}`);
    } catch (error) {
      drop(client);
      throw error;
    }
    if (ended.signal.aborted) return drop(client);
    current = client;
    onUp();
  }

  function lose(client: Client, reason: string): void {
    if (current !== client) return;
    current = undefined;
    drop(client);
    if (ended.signal.aborted) return;
    log.warn({ reason }, 'the connection to the other servers was lost; trying again');
    void reconnect();
  }

  async function reconnect(): Promise<void> {
    for (let wait: number = BACKOFF.first; !ended.signal.aborted; wait = Math.min(wait * 2, BACKOFF.most)) {
      try {
        await delay(clock, jittered(wait), ended.signal);
        return await connect();
      } catch (error) {
        log.debug({ reason: reasonOf(error) }, 'no connection to the other servers yet');
      }
    }
  }

  return {
    start: () =>
      connect().catch((error: unknown) => {
        log.warn({ reason: reasonOf(error) }, 'no connection to the other servers yet; trying again');
        void reconnect();
      }),
    isUp: () => current !== undefined,
    async send(letters) {
      const client = current;
      if (client === undefined) return;
      try {
        const values = [letters.map(({ channel }) => channel), letters.map(({ payload }) => payload)];
        await client.query({ name: 'send', text: SEND, values });
      } catch (error) {
        lose(client, reasonOf(error));
      }
    },
    async close() {
      ended.abort();
      const last = current;
      current = undefined;
      // Nobody is told anything more, so how it ends does not matter.
      await last?.end().catch(() => undefined);
    },
  };
}

/** Its end may never be answered. */
function drop(client: Client): void {
  client.end().catch(() => undefined);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
