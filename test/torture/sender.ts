import { setTimeout as sleep } from 'node:timers/promises';
import { ClientError, createClient, type EventParam } from '../../packages/api/src/index.ts';
import type { Sent } from './history.ts';
import type { Random } from './random.ts';

export interface Sender {
  readonly sent: readonly Sent[];
  /** Sends under one key until the server accepts or refuses it; answers the accepted ids, empty when it was refused. */
  send(type: Sent['type'], events: readonly EventParam[], texts?: readonly string[]): Promise<readonly string[]>;
  /** How many requests were made, and how many of them got no answer. */
  counts(): { readonly tries: number; readonly unanswered: number };
}

const RETRY_MS = 20;
const REQUEST_MS = 10_000;
/** How often a client that has its answer asks again, and how often it asks twice at once. */
const AGAIN = 0.15;
const TWICE = 0.1;

export function createSender(input: {
  readonly url: string;
  readonly key: string;
  readonly sessionId: string;
  readonly random: Random;
  /** No more tries: the run is over. */
  readonly signal: AbortSignal;
}): Sender {
  const { sessionId, random } = input;
  const client = createClient({
    url: input.url,
    key: input.key,
    fetch: (url, init) => fetch(url, { ...init, signal: AbortSignal.timeout(REQUEST_MS) }),
  });
  const sent: Sent[] = [];
  let tries = 0;
  let unanswered = 0;

  async function once(idempotencyKey: string, events: readonly EventParam[]): Promise<readonly string[] | { refusal: string }> {
    while (!input.signal.aborted) {
      tries += 1;
      try {
        return (await client.events.send(sessionId, events, { idempotencyKey })).data.map((event) => event.id);
      } catch (error) {
        const isFinal = error instanceof ClientError && error.status < 500 && error.status !== 429;
        if (isFinal) return { refusal: error.code ?? String(error.status) };
        if (!(error instanceof ClientError)) unanswered += 1;
        await sleep(RETRY_MS);
      }
    }
    return { refusal: 'the run was over' };
  }

  return {
    sent,
    async send(type, events, texts = []) {
      const key = `${sessionId}-${sent.length}-${random.whole(1e9)}`;
      const answers: (readonly string[])[] = [];
      const record = { key, type, texts, answers, refusal: null as string | null };
      sent.push(record);
      const isAgain = random.isLucky(AGAIN);
      const first = await Promise.all(Array.from({ length: random.isLucky(TWICE) ? 2 : 1 }, () => once(key, events)));
      const results = isAgain ? [...first, await once(key, events)] : first;
      for (const result of results) {
        if ('refusal' in result) record.refusal = result.refusal;
        else answers.push(result);
      }
      return answers[0] ?? [];
    },
    counts: () => ({ tries, unanswered }),
  };
}
