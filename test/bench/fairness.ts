import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { type ChunkWatch, watchChunks } from './first-chunk.ts';
import type { FloodOrder, FloodReport } from './flood.ts';
import { fixedRate } from './load.ts';
import { startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, ms, type Row, type Summary, summary, verdict } from './row.ts';
import type { Tenant } from './tenant.ts';

const IDLE_MS = 40_000;
const FLOOD_MS = 40_000;
const SETTLE_MS = 3000;
const FLOOD_PER_SECOND = 1000;
const FLOOD_SESSIONS = 100;
const MOST = 2;
const OTHER_KEY = 'clst_key-of-the-tenant-that-floods';

/** One tenant sends a message a second while another floods; with the limits as they are when nobody sets them. */
export const fairnessBench: Bench = {
  name: 'fairness',
  needsEngine: false,
  async run() {
    const limits = { RATE_LIMIT_PER_KEY: '', RATE_LIMIT_PER_TENANT: '', MAX_QUEUED: '', MAX_QUEUED_PER_TENANT: '' };
    await using platform = await startPlatform(limits, { otherKeys: [OTHER_KEY] });
    const session = await platform.newSession();
    const times = { idle: createTimes(), flood: createTimes() };
    let report: FloodReport;
    {
      await using watch = await watchChunks(platform, session);
      await oncePerSecond(platform, session, watch, SETTLE_MS);
      await oncePerSecond(platform, session, watch, IDLE_MS, times.idle);
      await using flood = await startFlood({ url: platform.url, key: OTHER_KEY, sessions: FLOOD_SESSIONS, perSecond: FLOOD_PER_SECOND });
      await oncePerSecond(platform, session, watch, SETTLE_MS);
      await oncePerSecond(platform, session, watch, FLOOD_MS, times.flood);
      report = await flood.end();
    }
    const flooding = platform.others[0];
    if (flooding === undefined) throw new Error('there is no second tenant');
    for (const [id, messages] of report.accepted) flooding.accepted.set(id, [...messages]);
    return [
      ratioRow('accept', summary(times.flood.accepted), summary(times.idle.accepted)),
      ratioRow('whole turn', summary(times.flood.ended), summary(times.idle.ended)),
      refusalRow(report),
      await proveNothingLost('flood', [platform, flooding]),
    ];
  },
};

interface Times {
  readonly accepted: number[];
  readonly ended: number[];
}

function createTimes(): Times {
  return { accepted: [], ended: [] };
}

async function oncePerSecond(tenant: Tenant, session: string, watch: ChunkWatch, durationMs: number, times?: Times): Promise<void> {
  await fixedRate({ perSecond: 1, durationMs }, async () => {
    const began = performance.now();
    const turn = watch.next();
    const answered = tenant.post(session, 'hello').then(() => performance.now());
    const [{ endedAt }, answeredAt] = await Promise.all([turn, answered]);
    times?.accepted.push(answeredAt - began);
    times?.ended.push(endedAt - began);
  });
}

function ratioRow(what: string, flood: Summary, idle: Summary): Row {
  const ratio = flood.p99 / idle.p99;
  return {
    measure: `one message a second, another tenant floods : idle, ${what}`,
    result: `p99 ${ms(flood.p99)} : ${ms(idle.p99)} = ${ratio.toFixed(2)} × (p50 ${ms(flood.p50)} : ${ms(idle.p50)})`,
    must: `p99 ≤ ${MOST} ×`,
    goal: '',
    verdict: verdict(ratio <= MOST, false),
    values: { ratio, p99: flood.p99, idleP99: idle.p99, p50: flood.p50, idleP50: idle.p50 },
  };
}

function refusalRow({ sent, refused }: FloodReport): Row {
  return {
    measure: `the flood of ${FLOOD_PER_SECOND.toLocaleString('en')}/s`,
    result: `${refused.toLocaleString('en')} of ${sent.toLocaleString('en')} answered 429`,
    must: 'some',
    goal: '',
    verdict: verdict(refused > 0, false),
    values: { sent, refused },
  };
}

interface Flood extends AsyncDisposable {
  end(): Promise<FloodReport>;
}

async function startFlood(order: FloodOrder): Promise<Flood> {
  const child = fork(path.join(import.meta.dirname, 'flood.ts'));
  const ended = once(child, 'exit');
  const answer = async () => {
    const gone = ended.then(([code]) => Promise.reject(new Error(`the flood ended with ${code}`)));
    const [message] = await Promise.race([once(child, 'message'), gone]);
    return message;
  };
  const begun = answer();
  child.send(order);
  await begun;
  return {
    end() {
      const report = answer();
      child.send('end');
      return report;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
