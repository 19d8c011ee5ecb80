import { takeUniquesFrom } from '../../packages/server/src/base/ids.ts';
import { openSqliteStore } from '../../packages/server/src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../packages/server/src/store/store.ts';
import type { Random } from '../torture/random.ts';
import { type Clients, type SimulatedSession, startClients } from './clients.ts';
import { type Cluster, createCluster } from './cluster.ts';
import { CALM_TENANT } from './fairness.ts';
import { checkEnd } from './final-rules.ts';
import { createHistory, type Violation } from './history.ts';
import { createMonitor } from './monitor.ts';
import { CALM, optionsOf, type SimulationOptions } from './options.ts';
import { createReceivers, type ReceiverKind } from './receivers.ts';
import { createScheduler, type Scheduler } from './scheduler.ts';
import { carryNotices, EPOCH, type World } from './world.ts';

export interface SimulationResult {
  readonly seed: number;
  readonly options: SimulationOptions;
  readonly violations: readonly Violation[];
  /** The same for the same seed and the same code. */
  readonly hash: string;
  readonly events: number;
  readonly virtualMs: number;
  tail(lines: number): readonly string[];
}

/** Puts a mistake around the store that works. */
export type Defect = (store: Store, tools: { readonly scheduler: Scheduler; readonly random: Random }) => Store;

const HOUR = 3_600_000;
/** By then everything that can be done has been done, with all faults over. */
const LIVENESS_MS = 2 * HOUR;
const MAX_ROUNDS = 60;
const RECEIVERS: readonly (readonly ReceiverKind[])[] = [['ok'], ['ok', 'flaky'], ['slow', 'flaky'], ['ok', 'dead'], ['ok', 'gone'], []];

/** Runs a whole cluster from one seed: first with faults, then without, and says which rules were broken. */
export async function simulate(seed: number, defect: Defect = (store) => store): Promise<SimulationResult> {
  let unique = 0;
  const giveBack = takeUniquesFrom(() => (++unique).toString(16).padStart(32, '0'));
  try {
    return await simulateOne(seed, defect);
  } finally {
    giveBack();
  }
}

async function simulateOne(seed: number, defect: Defect): Promise<SimulationResult> {
  const { options, random } = optionsOf(seed);
  const scheduler = createScheduler();
  const history = createHistory(scheduler.now);
  const clock = {
    now: () => EPOCH + scheduler.now(),
    monotonic: scheduler.now,
    after: () => () => undefined,
    every: () => () => undefined,
  };
  const real = await openSqliteStore({ file: ':memory:', clock });
  const monitor = createMonitor(history, options, scheduler.now);
  const store = defect(real, { scheduler, random });
  const world: World = {
    scheduler,
    random,
    history,
    monitor,
    options,
    store,
    faults: options.faults,
    lives: new Set(),
    marked: new Set(),
    committer: undefined,
    onDeath: () => undefined,
  };
  try {
    const sessions = await createSessions(world);
    carryNotices(world);
    const cluster = createCluster(world);
    const clients = startClients(world, cluster, sessions);
    await live({ world, cluster, clients, sessions });
  } catch (error) {
    history.violate('no error of our own', error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    await real.close();
  }
  const { violations, hash, tail } = history;
  return { seed, options, violations, hash: hash(), events: scheduler.eventsRun(), virtualMs: scheduler.now(), tail };
}

interface Run {
  readonly world: World;
  readonly cluster: Cluster;
  readonly clients: Clients;
  readonly sessions: readonly SimulatedSession[];
}

async function live({ world, cluster, clients, sessions }: Run): Promise<void> {
  const { scheduler, history, store, options } = world;
  const isBroken = () => history.violations.length > 0;
  cluster.disturb();
  await scheduler.runUntil(isBroken, options.faultMs);
  history.note('the faults are over');
  world.faults = CALM;
  cluster.heal();
  const idle = watch(world, async () => {
    if (!clients.isDone()) return false;
    const { queued, running, waitingApproval } = await store.turns.counts();
    return queued + running + waitingApproval === 0;
  });
  const isDone = await scheduler.runUntil(() => isBroken() || idle(), LIVENESS_MS);
  if (isBroken()) return;
  if (!isDone)
    return history.violate('everything ends', `after ${LIVENESS_MS} ms without faults: ${JSON.stringify(await store.turns.counts())}`);
  clients.leave();
  await scheduler.runUntil(isBroken, 2000);
  if (!(await cluster.stop())) return history.violate('servers stop', 'one did not');
  await emptyOutbox(world, cluster, isBroken);
  if (isBroken()) return;
  await checkEnd(world, sessions, clients.accepted);
}

/** Asks every second, and remembers the answer. */
function watch({ scheduler }: World, condition: () => Promise<boolean>): () => boolean {
  let isMet = false;
  const look = async () => {
    isMet = await condition();
    if (!isMet) scheduler.schedule(1000, look);
  };
  scheduler.schedule(0, look);
  return () => isMet;
}

/** Lets days pass in one step, and starts a server whenever something is due, until nothing is. */
async function emptyOutbox(world: World, cluster: Cluster, isBroken: () => boolean): Promise<void> {
  const { scheduler, history, store } = world;
  const dueInMs = () => store.outbox.dueInMs({ maxPerTarget: 1000, except: [] });
  for (let round = 0; ; round++) {
    const due = await dueInMs();
    if (due === undefined || isBroken()) return;
    if (round === MAX_ROUNDS) return history.violate('queues end empty', `deliveries are still due after ${round} rounds`);
    await scheduler.runUntil(() => false, Math.max(0, due) + HOUR);
    cluster.startOne();
    const isQuiet = watch(world, async () => ((await dueInMs()) ?? HOUR) >= 60_000);
    if (!(await scheduler.runUntil(() => isBroken() || isQuiet(), HOUR)))
      return history.violate('queues end empty', 'the outbox does not move');
    if (!(await cluster.stop())) return history.violate('servers stop', 'one did not');
  }
}

async function createSessions({ store, options, random }: World): Promise<readonly SimulatedSession[]> {
  const sessions: SimulatedSession[] = [];
  const tenants = ['one', 'two'];
  const policies = ['queue', 'steer', 'refuse'] as const;
  for (let index = 0; index < options.sessions; index++) {
    const isFlooding = options.hasFlood && index === 0;
    const tenantId = tenants[index % 2] ?? 'one';
    sessions.push(await createSession(index, tenantId, isFlooding, isFlooding ? 'queue' : (policies[random.whole(3)] ?? 'queue')));
  }
  sessions.push(await createSession(options.sessions, CALM_TENANT, false, 'queue'));
  for (const tenantId of [...tenants, CALM_TENANT]) await createReceivers(store, tenantId, RECEIVERS[random.whole(RECEIVERS.length)] ?? []);
  return sessions;

  async function createSession(index: number, tenantId: string, isFlooding: boolean, followUp: string): Promise<SimulatedSession> {
    const id = `ses_${index.toString().padStart(4, '0')}`;
    const policy = random.isLucky(0.6) ? 'always_allow' : 'always_ask';
    const tools = [{ type: 'agent_toolset_20260401', default_config: { enabled: true, permission_policy: { type: policy } }, configs: [] }];
    const harness = random.isLucky(0.7) ? 'asking' : 'bold';
    await store.sessions.create({
      id,
      tenantId,
      agentId: `agt_${tenantId}`,
      agentVersion: 1,
      agent: { name: 'Ada', model: { id: 'demo' }, harness, tools, follow_up: followUp, max_concurrent_turns: null },
      environmentId: 'env_one',
      environment: { name: 'here' },
      title: null,
      metadata: {},
      now: EPOCH,
    });
    return { tenantId, id, isFlooding, messages: isFlooding ? 12 : options.messagesPerSession };
  }
}
