import { type Client, createClient, isToolUse } from '../../packages/api/src/index.ts';

/** What a soak's clients did. */
export interface LoadReport {
  readonly turns: number;
  readonly sessions: number;
  readonly interrupted: number;
  readonly removed: number;
  /** Turns that ended otherwise than they were asked to, with the reason of each kind. */
  readonly failures: ReadonlyMap<string, number>;
}

export interface LoadOptions {
  readonly url: string;
  readonly key: string;
  readonly turns: number;
  /** Turns that came before, so that the numbers go on. */
  readonly first?: number;
  /** No turn begins after this, by `performance.now()`. */
  readonly until?: number | undefined;
  readonly onTurn?: (done: number) => void;
}

const CLIENTS = 4;
const SESSIONS_PER_CLIENT = 6;
const WAIT_SECONDS = 120;
const POLL_MS = 50;
const TOOL_LIMIT_MS = 60_000;

/**
 * Turns over new and old sessions: most say something, some run a command; each tenth makes a session anew, so that more
 * are about than may live at once and the oldest have slept, or lost their sandbox, when their turn comes. Some
 * turns are interrupted in the midst of a tool, and some sessions are removed.
 */
export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const client = createClient({ url: options.url, key: options.key });
  const agent = (await client.agents.list()).data[0];
  const environment = (await client.environments.list()).data[0];
  const open = async () => (await client.sessions.create({ agent: agent?.id ?? '', environment_id: environment?.id ?? '' })).id;
  const report = { turns: 0, sessions: 0, interrupted: 0, removed: 0, failures: new Map<string, number>() };
  const { first = 0, until = Number.POSITIVE_INFINITY } = options;
  let next = first;

  async function work(): Promise<void> {
    const sessions: string[] = [];
    while (next < first + options.turns && performance.now() < until) {
      const nth = next++;
      if (sessions.length === 0 || nth % 10 === 3) {
        sessions.push(await open());
        report.sessions += 1;
      }
      if (sessions.length > SESSIONS_PER_CLIENT) {
        await client.sessions.remove(sessions.shift() ?? '');
        report.removed += 1;
      }
      // By turns the one that was just spoken to, and the one that has waited longest.
      const session = (nth % 3 === 0 ? sessions[0] : sessions.at(-1)) ?? '';
      const isInterrupted = nth % 20 === 11;
      const outcome = await (isInterrupted ? interruptedTurn(client, session) : wholeTurn(client, session, nth));
      if (outcome !== undefined) report.failures.set(outcome, (report.failures.get(outcome) ?? 0) + 1);
      if (isInterrupted) report.interrupted += 1;
      report.turns += 1;
      options.onTurn?.(report.turns);
    }
    for (const session of sessions.splice(0, 2)) {
      await client.sessions.remove(session);
      report.removed += 1;
    }
  }

  await Promise.all(Array.from({ length: CLIENTS }, work));
  return report;
}

async function wholeTurn(client: Client, session: string, nth: number): Promise<string | undefined> {
  const content = nth % 4 === 1 ? `run echo ${nth}` : `hello ${nth}`;
  const { turn } = await client.events.send(session, [{ type: 'user.message', content }], { wait: WAIT_SECONDS });
  return turn?.outcome === 'completed' ? undefined : `${turn?.outcome ?? 'no end'}: ${turn?.error?.code ?? ''}`;
}

/** Interrupts once the tool runs; where the fake agent is there instead, which has none, the turn ends by itself. */
async function interruptedTurn(client: Client, session: string): Promise<string | undefined> {
  const { data } = await client.events.send(session, [{ type: 'user.message', content: 'run sleep 600' }]);
  const after = data[0]?.seq ?? 0;
  const deadline = performance.now() + TOOL_LIMIT_MS;
  for (let isAsked = false; performance.now() < deadline; await new Promise((resolve) => setTimeout(resolve, POLL_MS))) {
    const events = (await client.events.list(session, { order: 'desc', limit: 20 })).data.filter(({ seq }) => seq > after);
    const end = events.find((event) => event.type === 'turn.ended');
    if (end?.type === 'turn.ended') {
      const isFine = end.outcome === 'cancelled' || end.outcome === 'completed';
      return isFine ? undefined : `${end.outcome}: ${end.error?.code ?? ''}`;
    }
    if (isAsked || !events.some(isToolUse)) continue;
    await client.events.send(session, [{ type: 'user.interrupt' }]);
    isAsked = true;
  }
  return 'an interrupted turn did not end';
}
