import { describe, test } from 'node:test';
import { acceptLaws } from './conformance/accept.ts';
import { accessLaws } from './conformance/access.ts';
import { adapterLaws } from './conformance/adapters.ts';
import { agentLaws } from './conformance/agents.ts';
import { approvalLaws } from './conformance/approvals.ts';
import { auditLaws } from './conformance/audit.ts';
import { confirmationLaws } from './conformance/confirmations.ts';
import { contentLaws } from './conformance/contents.ts';
import { dutyAndNodeLaws } from './conformance/duties-nodes.ts';
import { egressLaws } from './conformance/egress.ts';
import { environmentLaws } from './conformance/environments.ts';
import { eventLaws } from './conformance/events.ts';
import { interruptLaws } from './conformance/interrupts.ts';
import type { Laws } from './conformance/kit.ts';
import { leaseLaws } from './conformance/lease.ts';
import { linkLaws } from './conformance/links.ts';
import { memoryLaws } from './conformance/memory.ts';
import { modelLaws } from './conformance/model.ts';
import { outboxLaws } from './conformance/outbox.ts';
import { queueLaws } from './conformance/queue.ts';
import { requestLaws } from './conformance/requests.ts';
import { retentionLaws } from './conformance/retention.ts';
import { runLaws } from './conformance/runs.ts';
import { serviceLaws } from './conformance/services.ts';
import { sessionLaws } from './conformance/sessions.ts';
import { storeLaws } from './conformance/store.ts';
import { takeOverLaws } from './conformance/take-over.ts';
import { usageLaws } from './conformance/usage.ts';
import { vaultLaws } from './conformance/vaults.ts';
import { warmLaws } from './conformance/warm.ts';
import { webhookLaws } from './conformance/webhooks.ts';
import type { Store } from './store.ts';

export interface StoreConformanceOptions {
  readonly name: string;
  /** Opens a store with nothing in it; the suite closes it. */
  readonly createStore: () => Promise<Store>;
  /** Laws this store cannot be held to here, by their names, with the reason that the test run shows. */
  readonly skip?: readonly { readonly reason: string; readonly tests: readonly string[] }[];
  /** Why this store cannot be had here at all. */
  readonly unavailable?: string | false;
}

const GROUPS: Readonly<Record<string, Laws>> = {
  store: storeLaws,
  access: accessLaws,
  agents: agentLaws,
  environments: environmentLaws,
  sessions: sessionLaws,
  events: eventLaws,
  accept: acceptLaws,
  interrupts: interruptLaws,
  confirmations: confirmationLaws,
  approvals: approvalLaws,
  audit: auditLaws,
  lease: leaseLaws,
  queue: queueLaws,
  runs: runLaws,
  'take-over': takeOverLaws,
  outbox: outboxLaws,
  webhooks: webhookLaws,
  adapters: adapterLaws,
  services: serviceLaws,
  requests: requestLaws,
  retention: retentionLaws,
  egress: egressLaws,
  contents: contentLaws,
  memory: memoryLaws,
  'duties and nodes': dutyAndNodeLaws,
  links: linkLaws,
  warm: warmLaws,
  vaults: vaultLaws,
  usage: usageLaws,
  model: modelLaws,
};

/** Registers the tests of every law of the store port; each begins with a store of its own. */
export function storeConformance({ name, createStore, skip = [], unavailable = false }: StoreConformanceOptions): void {
  const reasons = new Map(skip.flatMap(({ reason, tests }) => tests.map((law) => [law, reason])));
  const known = new Set(Object.values(GROUPS).flatMap((laws) => Object.keys(laws)));
  for (const law of reasons.keys()) if (!known.has(law)) throw new Error(`there is no law "${law}" to skip`);
  describe(`store: ${name}`, { skip: unavailable }, () => {
    for (const [group, laws] of Object.entries(GROUPS)) {
      describe(group, () => {
        for (const [law, prove] of Object.entries(laws)) {
          test(law, { skip: reasons.get(law) ?? false }, () => prove(createStore));
        }
      });
    }
  });
}
