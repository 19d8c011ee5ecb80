import type { Clock } from '../base/clock.ts';
import { VERSION } from '../base/version.ts';
import type { Sealer } from '../core/sealing.ts';
import type { Deliver } from '../outbox/deliver.ts';
import { readTurnAnswer, type TurnAnswer } from '../sessions/turn-answer.ts';
import type { CallbackRow, Store, TurnRow } from '../store/store.ts';
import { judge } from '../webhooks/deliver.ts';
import type { Send } from '../webhooks/send.ts';
import { signedHeaders } from '../webhooks/signing.ts';
import { callbackAad } from './callbacks.ts';

/** The body in the words of the adapter whose client asked for it. It must be the same at every attempt. */
export type CallbackBody = (callback: CallbackRow, turn: TurnRow, answer: TurnAnswer) => object;

export interface CallbackDeliveryDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly send: Send;
  readonly sealer: Sealer;
  readonly bodies: Readonly<Record<string, CallbackBody>>;
}

/** The outbox's way out to whoever asked for the answer of one turn: a POST signed as webhooks are. */
export function createCallbackDelivery({ store, clock, send, sealer, bodies }: CallbackDeliveryDeps): Deliver {
  return async (delivery, signal) => {
    const { tenantId, data } = delivery;
    const turnId = typeof data.turn_id === 'string' ? data.turn_id : '';
    const [callback, turn] = [await store.callbacks.find({ tenantId, turnId }), await store.turns.find({ tenantId, id: turnId })];
    const bodyOf = bodies[callback?.adapter ?? ''];
    if (callback === undefined || turn === undefined || bodyOf === undefined)
      return { outcome: 'rejected', status: null, error: 'The session of the answer is gone.', isGone: false };
    const body = JSON.stringify(bodyOf(callback, turn, await readTurnAnswer(store, { tenantId, sessionId: callback.sessionId, turnId })));
    const secrets = [{ value: sealer.open(callback.secret, callbackAad(tenantId, turnId)), until: null }];
    const signed = signedHeaders({ id: delivery.messageId, body, secrets, now: clock.now() });
    const headers = { 'content-type': 'application/json', 'user-agent': `Cloister/${VERSION}`, ...signed };
    return judge(await send({ url: new URL(callback.url), headers, body }, signal), clock.now());
  };
}
