import { isPlatformError } from '../../packages/server/src/base/errors.ts';
import type { SupportedEvent } from '../../packages/server/src/sessions/supported-events.ts';
import type { Cluster } from './cluster.ts';
import { isCalm, type World } from './world.ts';

export interface SimulatedSession {
  readonly tenantId: string;
  readonly id: string;
  readonly messages: number;
  /** Sends all at once, instead of one after the other. */
  readonly isFlooding: boolean;
}

export interface AcceptedMessage {
  readonly session: SimulatedSession;
  readonly text: string;
  readonly eventId: string;
}

/** Those who use the service: each repeats a request under its key until it is answered. */
export interface Clients {
  readonly accepted: readonly AcceptedMessage[];
  /** Nobody waits for an answer any more, and all was sent. */
  isDone(): boolean;
  /** Nobody looks any more whether an agent asks. */
  leave(): void;
}

const TIMEOUT_MS = 12_000;
type Answer = { readonly type: 'ok'; readonly eventIds: readonly string[] } | { readonly type: 'refused' } | { readonly type: 'again' };
type Message = Extract<SupportedEvent, { type: 'user.message' }>;

/** What no repetition would change. */
const FINAL = ['approval_not_pending', 'event_not_found', 'request_invalid'] as const;

export function startClients(world: World, cluster: Cluster, sessions: readonly SimulatedSession[]): Clients {
  const { scheduler, random, history } = world;
  const accepted: AcceptedMessage[] = [];
  let open = 0;
  let hasLeft = false;
  let keys = 0;
  let texts = 0;

  async function once(session: SimulatedSession, events: readonly SupportedEvent[], key: string): Promise<Answer> {
    const answer = Promise.withResolvers<Answer>();
    const cancel = scheduler.schedule(TIMEOUT_MS, () => answer.resolve({ type: 'again' }));
    const node = cluster.any();
    const waitMs = random.isLucky(0.1) ? { waitMs: random.whole(10_000) } : {};
    if (node === undefined) scheduler.schedule(5, () => answer.resolve({ type: 'again' }));
    else {
      const back = (value: Answer) => void scheduler.schedule(random.whole(5), () => answer.resolve(value), node.life);
      const { tenantId, id: sessionId } = session;
      scheduler.schedule(
        random.whole(5),
        () => {
          void node.sendEvents({ tenantId, sessionId, events, idempotencyKey: key, ...waitMs }).then(
            ({ data }) => back({ type: 'ok', eventIds: data.map(({ id }) => id) }),
            (error: unknown) => back(refusal(error)),
          );
        },
        node.life,
      );
    }
    const result = await answer.promise;
    cancel();
    return result;
  }

  function refusal(error: unknown): Answer {
    if (FINAL.some((code) => isPlatformError(error, code))) return { type: 'refused' };
    if (!isPlatformError(error) || error.code === 'bug' || error.code === 'idempotency_mismatch')
      history.violate('no error of our own', error instanceof Error ? `${error.stack} ${String(error.cause)}` : String(error));
    return { type: 'again' };
  }

  async function send(session: SimulatedSession, events: readonly SupportedEvent[]): Promise<readonly string[]> {
    const key = `k${keys++}`;
    open++;
    try {
      for (;;) {
        const answer = await once(session, events, key);
        history.note(`client ${key}: ${answer.type}`);
        if (answer.type !== 'again') return answer.type === 'ok' ? answer.eventIds : [];
        await scheduler.pause(200 + random.whole(3000));
      }
    } finally {
      open--;
    }
  }

  async function say(session: SimulatedSession): Promise<void> {
    const text = `m${texts++}`;
    const message: Message = { type: 'user.message', content: [{ type: 'text', text }] };
    const [eventId] = await send(session, [message]);
    if (eventId !== undefined) accepted.push({ session, text, eventId });
  }

  async function talk(session: SimulatedSession): Promise<void> {
    open++;
    await scheduler.pause(random.whole(5000));
    for (let count = 0; count < session.messages; count++) {
      if (session.isFlooding) void say(session);
      else await say(session);
      await scheduler.pause(session.isFlooding ? random.whole(20) : random.whole(20_000));
      if (random.isLucky(0.08)) void send(session, [{ type: 'user.interrupt' }]);
    }
    open--;
  }

  /** Looks now and then whether the agent asks, and answers; sometimes twice, and sometimes late. */
  async function decide(session: SimulatedSession): Promise<void> {
    const { tenantId, id: sessionId } = session;
    const pending = await world.store.turns.approvals({ tenantId, sessionId, state: 'pending' });
    for (const { id } of pending) {
      if (!isCalm(world) && random.isLucky(0.5)) continue;
      const result = random.isLucky(0.7) ? 'allow' : 'deny';
      void send(session, [{ type: 'user.tool_confirmation', tool_use_id: id, result }]);
    }
    if (!hasLeft) scheduler.schedule(isCalm(world) ? 2000 : 1000 + random.whole(15_000), () => decide(session));
  }

  for (const session of sessions) {
    void talk(session);
    scheduler.schedule(1000, () => decide(session));
  }
  return {
    accepted,
    isDone: () => open === 0,
    leave() {
      hasLeft = true;
    },
  };
}
