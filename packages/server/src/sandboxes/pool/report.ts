import type { WarmTemplate } from './key.ts';
import type { Wanted } from './plan.ts';
import type { Entry } from './stock.ts';

/** How the pool does for one environment and agent. */
export interface WarmEnvironment {
  readonly environmentId: string;
  readonly agentId: string;
  readonly wanted: number;
  readonly ready: number;
  readonly warming: number;
  /** Given to sessions since the start. */
  readonly claimed: number;
}

type Subject = Pick<WarmTemplate, 'tenantId' | 'environmentId' | 'agentId'>;

/** What was given away, by subject. */
export interface Claims {
  note(subject: Subject): void;
  all(): Iterable<{ readonly subject: Subject; readonly count: number }>;
}

/** Subjects that are remembered at once; the one that was longest without a claim is forgotten first. */
const MAX_SUBJECTS = 1000;

export function createClaims(): Claims {
  const claims = new Map<string, { readonly subject: Subject; readonly count: number }>();
  return {
    note({ tenantId, environmentId, agentId }) {
      const key = keyOf({ tenantId, environmentId, agentId });
      const count = (claims.get(key)?.count ?? 0) + 1;
      claims.delete(key);
      claims.set(key, { subject: { tenantId, environmentId, agentId }, count });
      const [oldest] = claims.keys();
      if (claims.size > MAX_SUBJECTS && oldest !== undefined) claims.delete(oldest);
    },
    all: () => claims.values(),
  };
}

export interface PoolParts {
  readonly wanted: Wanted;
  readonly entries: Iterable<Pick<Entry, 'state' | 'template'>>;
  readonly claims: Claims;
}

/** One tenant's part of the pool. An environment's former version counts with the present one: it is about to go. */
export function reportPool(tenantId: string, { wanted, entries, claims }: PoolParts): readonly WarmEnvironment[] {
  const found = new Map<string, { environmentId: string; agentId: string } & Record<Count, number>>();
  function add(subject: Subject, name: Count, count: number): void {
    if (subject.tenantId !== tenantId) return;
    const { environmentId, agentId } = subject;
    const one = found.get(keyOf(subject)) ?? { environmentId, agentId, wanted: 0, ready: 0, warming: 0, claimed: 0 };
    one[name] += count;
    found.set(keyOf(subject), one);
  }
  for (const { template, count } of wanted.values()) add(template, 'wanted', count);
  for (const { state, template } of entries) if (state === 'ready' || state === 'warming') add(template, state, 1);
  for (const { subject, count } of claims.all()) add(subject, 'claimed', count);
  return [...found.values()];
}

type Count = 'wanted' | 'ready' | 'warming' | 'claimed';

function keyOf({ tenantId, environmentId, agentId }: Subject): string {
  return JSON.stringify([tenantId, environmentId, agentId]);
}
