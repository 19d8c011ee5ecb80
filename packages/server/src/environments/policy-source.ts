import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { NetworkPolicy, PolicyFeed, PolicyFollower } from '../egress/gateway.ts';
import type { Store } from '../store/store.ts';
import { agentPolicy, environmentPolicy } from './networking.ts';

/**
 * The policies of live sandboxes, as they stand in the store. Of the network the newest word holds: the
 * environment as it is now, and the newest version of the agent, whatever a session keeps a copy of. Only when
 * the environment is gone does the copy hold.
 */
export interface PolicySource extends Service, PolicyFeed {
  /** Something may have changed; resolves when all followers have been told. Never throws. */
  refresh(): Promise<void>;
}

export interface PolicySourceOptions {
  readonly store: Pick<Store, 'environments' | 'agents'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pollMs: number;
}

export function createPolicySource({ store, clock, log, pollMs }: PolicySourceOptions): PolicySource {
  const followers = new Map<PolicyFollower, string>();
  let refreshing: Promise<void> = Promise.resolve();
  let cancel: (() => void) | undefined;

  async function update(follower: PolicyFollower, read: Reader): Promise<void> {
    const { tenantId, subject, snapshot } = follower;
    const environment = (await read.environment(tenantId, subject.environmentId)) ?? snapshot;
    const agent = await read.agent(tenantId, subject.agentId);
    const policies = agent === undefined ? [environment] : [environment, agent];
    const text = JSON.stringify(policies);
    if (!followers.has(follower) || followers.get(follower) === text) return;
    followers.set(follower, text);
    follower.apply(policies);
  }

  async function refreshAll(): Promise<void> {
    const read = createReader(store);
    for (const follower of followers.keys()) {
      try {
        await update(follower, read);
      } catch (error) {
        log.warn({ err: error }, 'the network policy of a sandbox could not be read; what it had holds until it can');
      }
    }
  }

  // One round after the other, so that an older reading never comes after a newer one.
  const inTurn = (run: () => Promise<void>): Promise<void> => {
    const done = refreshing.then(run);
    refreshing = done.catch(() => undefined);
    return done;
  };
  const refresh = () => inTurn(refreshAll);

  return {
    name: 'network policies',
    async follow(follower) {
      followers.set(follower, '');
      try {
        await inTurn(() => update(follower, createReader(store)));
      } catch (error) {
        followers.delete(follower);
        throw error;
      }
      return () => void followers.delete(follower);
    },
    refresh,
    async start() {
      cancel ??= clock.every(pollMs, () => {
        if (followers.size > 0) void refresh();
      });
    },
    async stop() {
      cancel?.();
      cancel = undefined;
      await refreshing;
    },
  };
}

type Read = (tenantId: string, id: string) => Promise<NetworkPolicy | undefined>;

interface Reader {
  readonly environment: Read;
  readonly agent: Read;
}

/** Each environment and agent is read once a round, however many sandboxes it has. */
function createReader(store: PolicySourceOptions['store']): Reader {
  const known = new Map<string, Promise<NetworkPolicy | undefined>>();
  const once = (key: string, read: () => Promise<NetworkPolicy | undefined>) => {
    const found = known.get(key) ?? read();
    known.set(key, found);
    return found;
  };
  return {
    environment: (tenantId, id) =>
      once(`${tenantId} ${id}`, async () => {
        const row = await store.environments.find({ tenantId, id });
        return row && environmentPolicy(row.definition);
      }),
    agent: (tenantId, id) =>
      once(`${tenantId} ${id}`, async () => {
        const row = await store.agents.find({ tenantId, id });
        return row && agentPolicy(row.definition);
      }),
  };
}
