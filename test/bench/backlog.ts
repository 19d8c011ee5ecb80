import { setTimeout as sleep } from 'node:timers/promises';
import { timeOfClaim } from './claim.ts';
import { type ChunkWatch, watchChunks } from './first-chunk.ts';
import { inParallel } from './load.ts';
import { type Platform, startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, ms, type Row, summary, verdict } from './row.ts';
import { type BenchStore, onBothStores } from './stores.ts';

const MESSAGES = 50_000;
const SESSIONS = 1000;
const PER_REQUEST = 50;
const SEEDING_AT_ONCE = 8;
const ACCEPTS = 1000;
const CLAIMS = 300;
const WARM_UP = 50;
const PAUSE_MS = 4;
const MOST = 2;
const ENDED_SESSIONS = 50;

/**
 * Two servers, one with a backlog and one without, are asked in turns, so that whatever else the machine does is done to
 * both. The backlog is of an agent that may work on one thing at a time and hangs, so it stays while the claims of
 * another agent's turns look past it.
 */
export const backlogBench: Bench = { name: 'backlog', needsEngine: false, run: () => onBothStores('backlog', measure) };

async function measure(store: BenchStore): Promise<readonly Row[]> {
  const env = { MAX_CONCURRENT_SANDBOXES: '4' };
  await using empty = await startPlatform({ ...env, ...(await store.freshEnv()) });
  await using full = await startPlatform({ ...env, ...(await store.freshEnv()) });
  const sides = { empty: await prepare(empty), full: await prepare(full) };
  const seeded = await seed(full, sides.full.cappedAgent);
  const accept: Times = { empty: [], full: [] };
  for (let n = 0; n < ACCEPTS + WARM_UP; n++) {
    for (const side of SIDES) {
      const { platform, queueing } = sides[side];
      const began = performance.now();
      await platform.post(queueing[n % queueing.length] ?? '', 'one more');
      if (n >= WARM_UP) accept[side].push(performance.now() - began);
    }
    await sleep(PAUSE_MS);
  }
  const claim: Times = { empty: [], full: [] };
  {
    await using emptyWatch = await watchChunks(empty, sides.empty.working);
    await using fullWatch = await watchChunks(full, sides.full.working);
    const watches: Readonly<Record<Side, ChunkWatch>> = { empty: emptyWatch, full: fullWatch };
    for (let n = 0; n < CLAIMS + WARM_UP; n++) {
      for (const side of SIDES) {
        const time = await timeOfClaim(sides[side].platform, sides[side].working, watches[side]);
        if (n >= WARM_UP) claim[side].push(time);
      }
      await sleep(PAUSE_MS);
    }
  }
  return [
    ratioRow(`accept with ${MESSAGES.toLocaleString('en')} queued : empty, ${store.name}`, accept),
    ratioRow(`accepted → claimed, ${MESSAGES.toLocaleString('en')} queued : empty, ${store.name}`, claim),
    // To end them all takes far longer than to measure. The turn that hangs holds the rest back meanwhile.
    await proveNothingLost(`backlog, ${store.name}`, [full], {
      leave: new Set([sides.full.hanging, ...seeded.slice(ENDED_SESSIONS)]),
    }),
    await proveNothingLost(`no backlog, ${store.name}`, [empty]),
  ];
}

const SIDES = ['empty', 'full'] as const;
type Side = (typeof SIDES)[number];
type Times = Readonly<Record<Side, number[]>>;

interface Prepared {
  readonly platform: Platform;
  readonly cappedAgent: string;
  /** The session whose turn keeps that agent busy. */
  readonly hanging: string;
  /** Sessions of the agent that hangs, for messages that only queue. */
  readonly queueing: readonly string[];
  /** A session of another agent, whose turns run. */
  readonly working: string;
}

async function prepare(platform: Platform): Promise<Prepared> {
  const working = await platform.newSession();
  const { id } = await platform.client.agents.create({ name: 'capped', model: 'demo', max_concurrent_turns: 1 });
  const hanging = await platform.newSession(id);
  await platform.post(hanging, '[[hang]]');
  const queueing = await Promise.all(Array.from({ length: 16 }, () => platform.newSession(id)));
  return { platform, cappedAgent: id, hanging, queueing, working };
}

async function seed(platform: Platform, agentId: string): Promise<string[]> {
  const sessions: string[] = [];
  const texts = Array.from({ length: PER_REQUEST }, (_, n) => `number ${n} of the backlog`);
  await inParallel(Array.from({ length: SESSIONS }), SEEDING_AT_ONCE, async () => {
    const session = await platform.newSession(agentId);
    sessions.push(session);
    for (let sent = 0; sent < MESSAGES / SESSIONS; sent += PER_REQUEST) await platform.postAll(session, texts);
  });
  return sessions;
}

function ratioRow(measure: string, times: Times): Row {
  const [empty, full] = [summary(times.empty), summary(times.full)];
  const ratio = full.p99 / empty.p99;
  return {
    measure,
    result: `p99 ${ms(full.p99)} : ${ms(empty.p99)} = ${ratio.toFixed(2)} × (p50 ${ms(full.p50)} : ${ms(empty.p50)})`,
    must: `p99 ≤ ${MOST} ×`,
    goal: '500,000 queued',
    verdict: verdict(ratio <= MOST, false),
    values: { ratio, p99: full.p99, emptyP99: empty.p99, p50: full.p50, emptyP50: empty.p50 },
  };
}
