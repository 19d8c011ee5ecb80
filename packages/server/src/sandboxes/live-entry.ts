import { newId } from '../base/ids.ts';
import type { JsonObject } from '../base/json.ts';
import type { SessionKey, SessionRow } from '../store/store.ts';
import type { OpenSandbox } from './open-sandbox.ts';
import type { WarmLease } from './pool/warm-pool.ts';
import type { Rest, SleepPolicy } from './sleep.ts';

/** The sandbox of a session, from the wish for it to its end. */
export interface Entry {
  /** Another one when the warm one could not be handed over. */
  sandboxId: string;
  readonly sessionId: string;
  readonly tenantId: string;
  readonly definition: string;
  readonly policy: SleepPolicy;
  readonly giveUp: AbortController;
  state: 'starting' | 'busy' | 'resting' | 'stopping';
  /** A turn has asked for it, so it does not give way to others. */
  isWanted: boolean;
  opening: Promise<OpenSandbox> | undefined;
  sandbox: OpenSandbox | undefined;
  idleSince: number;
  rest: Rest | undefined;
  closing: Promise<void> | undefined;
}

/** Stops a sandbox that no turn has, or waits for one that is being stopped, or for a turn that can wait without. */
export async function freeOne(
  entries: ReadonlyMap<string, Entry>,
  discard: (entry: Entry) => Promise<void>,
  makeRoom: () => Promise<boolean>,
): Promise<boolean> {
  const [idle] = [...idleOf(entries)].sort((a, b) => a.idleSince - b.idleSince);
  const chosen = idle ?? [...entries.values()].find((entry) => entry.closing !== undefined);
  if (chosen === undefined) return makeRoom();
  await discard(chosen);
  return true;
}

/** Those that rest, and those that are being opened ahead. */
export function idleOf(entries: ReadonlyMap<string, Entry>, only?: readonly SessionKey[]): Entry[] {
  const chosen = only === undefined ? [...entries.values()] : only.flatMap(({ sessionId }) => entries.get(sessionId) ?? []);
  return chosen.filter((entry) => entry.closing === undefined && !entry.isWanted);
}

export function preparingOf(entries: ReadonlyMap<string, Entry>): Entry[] {
  return [...entries.values()].filter((entry) => entry.state === 'starting' && !entry.isWanted);
}

export function definitionOf(session: SessionRow): string {
  return JSON.stringify([session.agent, session.environment, session.resources]);
}

export function newEntry(
  { policyOf }: { readonly policyOf: (environment: JsonObject) => SleepPolicy },
  session: SessionRow,
  warm?: WarmLease,
): Entry {
  return {
    sandboxId: warm?.sandboxId ?? newId('sandbox'),
    sessionId: session.id,
    tenantId: session.tenantId,
    definition: definitionOf(session),
    policy: policyOf(session.environment),
    giveUp: new AbortController(),
    state: 'starting',
    isWanted: false,
    opening: undefined,
    sandbox: undefined,
    idleSince: 0,
    rest: undefined,
    closing: undefined,
  };
}
