import { existsSync } from 'node:fs';
import { chmod, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Agents } from '../agents/agents.ts';
import { type Clock, delay } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { makeFirst } from '../base/first-file.ts';
import { newId, newSecret } from '../base/ids.ts';
import { weaknessOf } from '../base/weak-secret.ts';
import type { Environments } from '../environments/environments.ts';
import type { Store } from '../store/store.ts';

/** The tenant of an installation with one owner. */
export const DEFAULT_TENANT = 'default';

const MIN_KEY_LENGTH = 16;

export interface AdminKey {
  /** Where the key can be read, or undefined when it came from the environment. */
  readonly file: string | undefined;
  readonly isNew: boolean;
}

/**
 * Makes sure there is an admin key: the configured one, or the one in `<dataDir>/admin.key`, made on the
 * first start and readable by its owner alone. Only its hash goes into the database.
 */
export async function ensureAdminKey(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly configured: string | undefined;
  readonly hash: (key: string) => string;
}): Promise<AdminKey> {
  const file = path.join(deps.dataDir, 'admin.key');
  const { key, isNew } = deps.configured === undefined ? await readOrMakeKey(file) : { key: deps.configured, isNew: false };
  const weakness = weaknessOf(key, MIN_KEY_LENGTH);
  if (weakness !== undefined)
    throw new PlatformError('config_invalid', { detail: `CLOISTER_ADMIN_KEY: ${weakness}; leave it unset and a key is made.` });
  await deps.store.apiKeys.ensure({
    id: newId('apiKey'),
    tenantId: DEFAULT_TENANT,
    name: 'admin',
    role: 'owner',
    isOperator: true,
    hash: deps.hash(key),
    now: deps.clock.now(),
  });
  return { file: deps.configured === undefined ? file : undefined, isNew };
}

async function readOrMakeKey(file: string): Promise<{ key: string; isNew: boolean }> {
  const isNew = !existsSync(file) && makeFirst(file, `${newSecret('apiKey')}\n`);
  const key = (await readFile(file, 'utf8')).trim();
  if (!isNew) await chmod(file, 0o600);
  return { key, isNew };
}

interface DefaultsDeps {
  readonly agents: Agents;
  readonly environments: Environments;
  readonly model: string;
  readonly harness: string;
}

const DUTY = { name: 'defaults', leaseMs: 10_000 } as const;
const PAUSE_MS = 100;

/**
 * A newcomer finds an agent and an environment to begin with; an installation that has any is left alone. Servers
 * that start together do this one after the other.
 */
export async function ensureDefaults(
  deps: DefaultsDeps & { readonly store: Pick<Store, 'duties'>; readonly clock: Clock; readonly nodeId: string },
): Promise<void> {
  const { store, clock, nodeId } = deps;
  while (!(await store.duties.hold({ ...DUTY, nodeId }))) await delay(clock, PAUSE_MS);
  try {
    await makeDefaults(deps);
  } finally {
    await store.duties.release({ name: DUTY.name, nodeId });
  }
}

async function makeDefaults(deps: DefaultsDeps): Promise<void> {
  const page = { limit: 1, order: 'asc', includeArchived: true } as const;
  const environments = await deps.environments.list(DEFAULT_TENANT, page);
  if (environments.data.length === 0)
    await deps.environments.create(DEFAULT_TENANT, {
      name: 'default',
      description: 'Made on the first start: 1 GiB, 1 CPU, no network.',
      config: { type: 'container' },
    });
  const existing = (await deps.agents.list(DEFAULT_TENANT, page)).data[0];
  const wanted = { model: deps.model, harness: deps.harness };
  if (existing === undefined) {
    await deps.agents.create(DEFAULT_TENANT, {
      name: 'default',
      description: "Made on the first start; follows the server's default model.",
      ...wanted,
      metadata: { 'cloister.default': 'true' },
    });
    return;
  }
  // The default agent follows the configuration, so that setting a key is all it takes to leave the demo.
  const isOurs = existing.metadata['cloister.default'] === 'true' && existing.archived_at === null;
  if (isOurs && (existing.model.id !== deps.model || existing.harness !== deps.harness))
    await deps.agents.update(DEFAULT_TENANT, existing.id, wanted);
}
