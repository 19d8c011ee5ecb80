import type { Clock } from '../../base/clock.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Logger } from '../../base/log.ts';
import type { WarmStore } from '../../store/store.ts';
import type { Demand } from './demand.ts';
import { ruleOf, type WarmTemplate } from './key.ts';

export interface PlanDeps {
  readonly store: Pick<WarmStore, 'use' | 'uses'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly demand: Demand;
  readonly max: number;
  readonly keyOf: (template: WarmTemplate) => string;
  /** The agent and the environment as they are now; undefined when there is no running them. */
  readonly load: (ids: Pick<WarmTemplate, 'tenantId' | 'agentId' | 'environmentId'>) => Promise<WarmTemplate | undefined>;
  /** Whether the files of such an environment can be handed over. */
  readonly canPool: (environment: JsonObject) => boolean;
}

/** What is to stand ready, by key. */
export type Wanted = ReadonlyMap<string, { readonly template: WarmTemplate; readonly count: number }>;

export interface Plan {
  /** What is to stand ready, by key, within the bound. What has changed since a session used it is not wanted any more. */
  read(now: number): Promise<Wanted>;
  /** Keeps in mind which agent an environment with a rule was used with last, over restarts too. */
  noteUse(template: WarmTemplate): void;
}

export function createPlan({ store, clock, log, demand, max, keyOf, load, canPool }: PlanDeps): Plan {
  /** By environment, the agent that is on record. */
  const noted = new Map<string, string>();
  return {
    async read(now) {
      const wanted = new Map<string, { template: WarmTemplate; count: number }>();
      let left = max;
      function want(key: string, template: WarmTemplate, count: number): void {
        const before = wanted.get(key)?.count ?? 0;
        const more = Math.min(Math.max(count - before, 0), left);
        left -= more;
        if (before + more > 0) wanted.set(key, { template, count: before + more });
      }
      for (const use of await store.uses()) {
        const count = ruleOf(use.environment);
        const template = count === 0 ? undefined : await load(use);
        if (template !== undefined && canPool(template.environment)) want(keyOf(template), template, count);
      }
      for (const { key, template, count } of demand.wanted(now)) {
        const current = await load(template);
        if (current === undefined || keyOf(current) !== key) demand.forget(key);
        else want(key, template, count);
      }
      return wanted;
    },
    noteUse({ tenantId, environmentId, agentId, environment }) {
      if (ruleOf(environment) === 0 || noted.get(environmentId) === agentId) return;
      noted.set(environmentId, agentId);
      store.use({ tenantId, environmentId, agentId, now: clock.now() }).catch((error: unknown) => {
        noted.delete(environmentId);
        log.warn({ err: error }, 'the agent of an environment could not be kept in mind for the warm pool');
      });
    },
  };
}
