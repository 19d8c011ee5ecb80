import { PlatformError } from '../../packages/server/src/base/errors.ts';
import type { CommitListener, Store } from '../../packages/server/src/store/store.ts';
import { crash, type Life, type World } from './world.ts';

type Fate = 'done' | 'crash_before' | 'crash_after' | 'unavailable';
type Call = <T>(op: string, run: () => Promise<T>, seen?: (result: T) => void) => Promise<T>;

/** Longer than a lease: what was sent before comes after. */
const MAX_SLOW_MS = 45_000;

/** Nobody is there any more to be answered. */
const NEVER = new Promise<never>(() => undefined);

/**
 * The store as one server sees it over a bad line: each call takes time, and from the seed the server dies before
 * or after it takes effect, or the store does not answer. What took effect is shown to the monitor.
 */
export function createFaultyStore(world: World, life: Life): Store {
  const { store: real, monitor } = world;
  const call = createCaller(world, life);
  const listeners = new Set<CommitListener>();
  const added = new Set<() => void>();
  life.hear = (notices) => {
    for (const listener of listeners) listener(notices);
  };
  life.hearAdded = () => {
    for (const listener of added) listener();
  };
  return {
    ...real,
    sessions: { ...real.sessions, find: (input) => call('sessions.find', () => real.sessions.find(input)) },
    webhooks: { ...real.webhooks, find: (input) => call('webhooks.find', () => real.webhooks.find(input)) },
    nodes: {
      ...real.nodes,
      beat: (input) => call('nodes.beat', () => real.nodes.beat(input)),
      leave: (input) => call('nodes.leave', () => real.nodes.leave(input)),
      bury: ({ id }) =>
        call(
          'nodes.bury',
          () => real.nodes.bury({ id }),
          () =>
            monitor.buried(
              id,
              [...world.lives].some(({ nodeId }) => nodeId === id),
            ),
        ),
      list: () => call('nodes.list', () => real.nodes.list()),
      release: (input) => call('nodes.release', () => real.nodes.release(input)),
      letGo: (input) => call('nodes.letGo', () => real.nodes.letGo(input)),
      strayed: (input) => call('nodes.strayed', () => real.nodes.strayed(input)),
    },
    events: {
      list: (input) => call('events.list', () => real.events.list(input)),
      listAfter: (input) => call('events.listAfter', () => real.events.listAfter(input)),
      firstSeq: (input) => call('events.firstSeq', () => real.events.firstSeq(input)),
      find: (input) => call('events.find', () => real.events.find(input)),
      heads: (input) => call('events.heads', () => real.events.heads(input)),
      onCommit: (listener) => subscribe(listeners, listener),
      isShared: !world.options.isSoleNode,
      publishPreview: () => undefined,
      onPreview: () => () => undefined,
    },
    outbox: {
      ...real.outbox,
      dueInMs: (input) => call('outbox.dueInMs', () => real.outbox.dueInMs(input)),
      lease: (input) =>
        call(
          'outbox.lease',
          () => real.outbox.lease(input),
          (leased) => monitor.deliveriesLeased(leased, input),
        ),
      settle: (input) =>
        call(
          `outbox.settle ${input.result.kind}`,
          () => real.outbox.settle(input),
          () => monitor.deliverySettled(input),
        ),
      takeOver: (input) =>
        call(
          'outbox.takeOver',
          () => real.outbox.takeOver(input),
          () => monitor.deliveriesFreed(),
        ),
      purge: (input) => call('outbox.purge', () => real.outbox.purge(input)),
      onAdded: (listener) => subscribe(added, listener),
    },
    turns: createTurns(world, call),
  };
}

function createTurns({ store: { turns: real }, monitor, options }: World, call: Call): Store['turns'] {
  return {
    ...real,
    accept: (input) =>
      call(
        'accept',
        () => real.accept(input),
        (result) => monitor.accepted(input, result),
      ),
    lease: (input) =>
      call(
        'lease',
        () => real.lease(input),
        (leased) => monitor.leased(leased, input),
      ),
    takeOver: (input) =>
      call(
        'takeOver',
        () => real.takeOver(input),
        (leased) => monitor.takenOver(leased, input, options.isSoleNode),
      ),
    heartbeat: (input) =>
      call(
        `heartbeat ${input.turnId.slice(-4)}/${input.attempt}`,
        () => real.heartbeat(input),
        () => monitor.renewed(input),
      ),
    append: (input) =>
      call(
        `append ${input.turnId.slice(-4)}/${input.attempt} ${input.state ?? ''}${input.isParked === true ? ' parked' : ''}`,
        () => real.append(input),
        () => monitor.appended(input),
      ),
    finish: (input) =>
      call(
        `finish ${input.turnId.slice(-4)}/${input.attempt} ${input.outcome}`,
        () => real.finish(input),
        () => monitor.finished(input),
      ),
    requeue: (input) =>
      call(
        `requeue ${input.turnId.slice(-4)}/${input.attempt} ${input.retryInMs ?? ''}`,
        () => real.requeue(input),
        () => monitor.requeued(input),
      ),
    steer: (input) =>
      call(
        'steer',
        () => real.steer(input),
        () => monitor.wrote(input),
      ),
    unsteer: (input) =>
      call(
        'unsteer',
        () => real.unsteer(input),
        () => monitor.wrote(input),
      ),
    find: (input) => call('turns.find', () => real.find(input)),
    list: (input) => call('turns.list', () => real.list(input)),
    counts: () => call('turns.counts', () => real.counts()),
    approvals: (input) => call('approvals', () => real.approvals(input)),
  };
}

function createCaller(world: World, life: Life): Call {
  const { scheduler, random, history } = world;

  function drawFate(): Fate {
    const { crashBefore, crashAfter, unavailable } = world.faults;
    if (random.isLucky(crashBefore)) return 'crash_before';
    if (random.isLucky(crashAfter)) return 'crash_after';
    return random.isLucky(unavailable) ? 'unavailable' : 'done';
  }
  const drawDelay = () => (random.isLucky(world.faults.slow) ? random.whole(MAX_SLOW_MS) : random.whole(4));

  return (op, run, seen) => {
    if (life.isDead) return NEVER;
    const fate = drawFate();
    const [before, after] = [drawDelay(), drawDelay()];
    // What a server that is gone had sent may arrive all the same; with the database in the process it cannot.
    const arrivesAnyway = !world.options.isSoleNode && random.isLucky(0.5);
    return new Promise((resolve, reject) => {
      const answer = (settle: () => void) => {
        if (after === 0 && life.resumesAt <= scheduler.now()) settle();
        else scheduler.schedule(after, settle, life);
      };
      scheduler.schedule(before, async () => {
        if (life.isDead && !arrivesAnyway) return;
        if (fate === 'crash_before') return crash(world, life, `before ${op}`);
        if (fate === 'unavailable') {
          history.note(`${life.name} ${op}: store_unavailable`);
          return answer(() => reject(new PlatformError('store_unavailable')));
        }
        world.committer = life;
        try {
          const result = await run();
          history.note(`${life.name} ${op}`);
          seen?.(result);
          answer(() => resolve(result));
        } catch (error) {
          history.note(`${life.name} ${op}: ${error instanceof PlatformError ? error.code : String(error)}`);
          answer(() => reject(error));
        } finally {
          world.committer = undefined;
        }
        if (fate === 'crash_after') crash(world, life, `after ${op}`);
      });
    });
  };
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
