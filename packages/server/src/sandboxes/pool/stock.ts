import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Logger } from '../../base/log.ts';
import type { SleepPower } from '../../runtime/driver.ts';
import type { WarmStore } from '../../store/store.ts';
import type { OpenSandbox, OpenSandboxInput } from '../open-sandbox.ts';
import { beginRest, type ReclaimGate, type Rest, type SleepPolicy } from '../sleep.ts';
import type { WarmFiles } from './files.ts';
import type { WarmTemplate } from './key.ts';

/** The places that the pool shares with the sandboxes of sessions. */
export interface PoolRoom {
  /** A place, if nobody waits for one and one more stays free. */
  takeFree(): boolean;
  give(): void;
  readonly reclaiming: ReclaimGate;
}

export interface StockDeps {
  readonly open: (input: OpenSandboxInput) => Promise<OpenSandbox>;
  readonly store: Pick<WarmStore, 'add' | 'ready' | 'remove'>;
  readonly files: WarmFiles;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeId: string;
  readonly policyOf: (environment: JsonObject) => SleepPolicy;
  readonly power?: SleepPower | undefined;
}

export interface Entry {
  readonly id: string;
  readonly sandboxId: string;
  readonly key: string;
  readonly template: WarmTemplate;
  readonly giveUp: AbortController;
  state: 'warming' | 'ready' | 'claimed' | 'gone';
  opening: Promise<OpenSandbox> | undefined;
  sandbox: OpenSandbox | undefined;
  rest: Rest | undefined;
  closing: Promise<void> | undefined;
  /** False once a session's sandbox stands in its place. */
  hasPlace: boolean;
}

/** The sandboxes of the pool, and what makes and ends one. */
export interface Stock {
  readonly entries: ReadonlyMap<string, Entry>;
  /** Makes one, whose place in the room is taken. Never throws: one that fails is gone, and `onFailure` told. */
  warm(key: string, template: WarmTemplate): Promise<void>;
  /** Removes one that is no session's. Repeated calls wait for the first. */
  drop(entry: Entry, why: string): Promise<void>;
  /** It is a session's from now on. */
  handOut(entry: Entry): void;
}

export function createStock(deps: StockDeps, room: PoolRoom, onFailure: (key: string) => void): Stock {
  const { log, store } = deps;
  const entries = new Map<string, Entry>();

  function drop(entry: Entry, why: string): Promise<void> {
    entry.closing ??= close(entry, why);
    return entry.closing;
  }

  async function close(entry: Entry, why: string): Promise<void> {
    entry.state = 'gone';
    entry.giveUp.abort(new PlatformError('sandbox_exited', { detail: 'It was given up before a session had it.' }));
    log.debug({ sandbox: entry.sandboxId, why }, 'a warm sandbox is removed');
    const quietly = (what: string) => (error: unknown) => log.warn({ err: error, sandbox: entry.sandboxId }, what);
    await entry.rest?.wake().catch(quietly('a warm sandbox was not awake at its end'));
    // Why it did not open was told by whoever opened it.
    const sandbox = await entry.opening?.catch(() => undefined);
    // What could not be removed here the reconciler removes, and the sweep of the next start.
    await sandbox?.close().catch(quietly('a warm sandbox could not be stopped'));
    await deps.files.remove(entry.id).catch(quietly('the files of a warm sandbox could not be removed'));
    await store.remove({ id: entry.id }).catch(quietly('the row of a warm sandbox could not be removed'));
    entries.delete(entry.id);
    if (entry.hasPlace) room.give();
  }

  /** It may have been given up at any moment. */
  async function settle(entry: Entry, sandbox: OpenSandbox): Promise<void> {
    if (entry.closing !== undefined) return;
    if (!(await store.ready({ id: entry.id }))) throw new PlatformError('sandbox_exited', { detail: 'Its row is gone.' });
    if (entry.closing !== undefined) return;
    entry.sandbox = sandbox;
    entry.rest = restOf(deps, room, entry, sandbox);
    entry.state = 'ready';
    void sandbox.exited.then(() => lost(entry));
  }

  function lost(entry: Entry): void {
    if (entry.state !== 'ready') return;
    log.info({ sandbox: entry.sandboxId }, 'a warm sandbox has ended by itself');
    onFailure(entry.key);
    void drop(entry, 'it has ended');
  }

  return {
    entries,
    drop,
    async warm(key, template) {
      const entry = newEntry(key, template);
      entries.set(entry.id, entry);
      try {
        entry.opening = openAhead(deps, entry);
        await settle(entry, await entry.opening);
      } catch (error) {
        if (entry.closing === undefined) {
          log.warn({ err: error, sandbox: entry.sandboxId }, 'a sandbox could not be opened ahead for the pool; it is tried again later');
          onFailure(key);
        }
        await drop(entry, 'its start failed');
      }
      await entry.closing;
    },
    handOut(entry) {
      entry.state = 'gone';
      entries.delete(entry.id);
      // Else it is swept with all of this server's.
      store
        .remove({ id: entry.id })
        .catch((error: unknown) => log.warn({ err: error }, 'the row of a claimed sandbox could not be removed'));
    },
  };
}

function restOf({ clock, log, power, policyOf }: StockDeps, { reclaiming }: PoolRoom, { template }: Entry, { ref }: OpenSandbox): Rest {
  // It is the demand that ends it, not its age.
  const policy = { ...policyOf(template.environment), stopMs: undefined };
  return beginRest({ clock, log, power, policy, ref, stop: () => undefined, reclaiming });
}

async function openAhead({ open, store, files, clock, nodeId }: StockDeps, entry: Entry): Promise<OpenSandbox> {
  const { id, sandboxId, key, template, giveUp } = entry;
  const { tenantId, harness, options } = template;
  await store.add({ id, tenantId, key, nodeId, now: clock.now() });
  const session = { ...template, id, harnessSessionId: null };
  return open({ sandboxId, session, harness, options, signal: giveUp.signal, ahead: await files.ensure(id) });
}

function newEntry(key: string, template: WarmTemplate): Entry {
  return {
    id: newId('warm'),
    sandboxId: newId('sandbox'),
    key,
    template,
    giveUp: new AbortController(),
    state: 'warming',
    opening: undefined,
    sandbox: undefined,
    rest: undefined,
    closing: undefined,
    hasPlace: true,
  };
}
