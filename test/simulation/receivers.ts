import { newId } from '../../packages/server/src/base/ids.ts';
import type { Store } from '../../packages/server/src/store/store.ts';
import type { Send, SendResult } from '../../packages/server/src/webhooks/send.ts';
import { EPOCH, isCalm, type Life, type World } from './world.ts';

const KINDS = ['ok', 'flaky', 'slow', 'dead', 'gone'] as const;
export type ReceiverKind = (typeof KINDS)[number];

/** The endpoints of one tenant; the first is told of everything. */
export async function createReceivers(store: Store, tenantId: string, kinds: readonly ReceiverKind[]): Promise<void> {
  for (const kind of kinds) {
    await store.webhooks.create({
      tenantId,
      id: newId('webhook'),
      url: `https://${kind}.${tenantId}.example/`,
      events: kind === 'dead' ? ['session.requires_action'] : kind === 'ok' ? ['*'] : ['cloister.turn.ended', 'session.status_idled'],
      description: null,
      metadata: {},
      secret: 'whsec_c2ltdWxhdGlvbnNpbXVsYXRpb24=',
      max: 10,
      now: EPOCH,
    });
  }
}

/** The line to the endpoints: they answer well, with an error, late, or take a message and never say so. */
export function simulatedSend({ scheduler, random, monitor, ...world }: World, life: Life): Send {
  return ({ url, headers }, signal) => {
    const kind = KINDS.find((known) => known === url.host.split('.')[0]) ?? 'ok';
    const messageId = headers['webhook-id'] ?? '';
    const { result, afterMs } = outcomeOf(kind, random.upTo(1), isCalm({ scheduler, random, monitor, ...world }));
    const isTaken = result.kind === 'unanswered' || (result.kind === 'answered' && result.status < 300);
    return new Promise((resolve) => {
      const onAbort = () => resolve({ kind: 'aborted' });
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      scheduler.schedule(Math.min(afterMs, 500) / 2, () => isTaken && monitor.received(url.href, messageId));
      scheduler.schedule(
        afterMs,
        () => {
          signal.removeEventListener('abort', onAbort);
          resolve(result);
        },
        life,
      );
    });
  };
}

interface Outcome {
  readonly result: SendResult;
  readonly afterMs: number;
}

const answered = (status: number, afterMs: number): Outcome => ({ result: { kind: 'answered', status, retryAfter: null }, afterMs });

function outcomeOf(kind: ReceiverKind, chance: number, isGood: boolean): Outcome {
  const soon = 5 + Math.floor(chance * 90);
  if (kind === 'dead') return answered(500, soon);
  if (kind === 'gone') return answered(410, soon);
  if (kind === 'slow') return answered(200, 1500 + Math.floor(chance * 5000));
  if (kind === 'ok' || isGood || chance > 0.4) return answered(200, soon);
  if (chance < 0.15) return answered(chance < 0.07 ? 503 : 429, soon);
  if (chance < 0.25) return { result: { kind: 'unanswered', error: 'No answer came.' }, afterMs: 15_000 };
  return { result: { kind: 'not_sent', error: 'It could not be reached.' }, afterMs: soon };
}
