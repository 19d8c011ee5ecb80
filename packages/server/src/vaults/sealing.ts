import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { parseSealed } from '../core/sealing.ts';
import { SEALED_TABLES, type SealedRow, type SealedStore, type SealedTable } from '../store/store.ts';
import { createSealer, type SwitchableSealer } from './envelope.ts';
import { type Keyring, openKeyring } from './keyring.ts';

/** What seals this installation's secrets, and the keys it does that with. */
export interface Sealing {
  readonly sealer: SwitchableSealer;
  readonly ring: Keyring;
}

export interface SealingDeps {
  readonly store: SealedStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
  readonly settings: { readonly kek: string | undefined; readonly kekFile: string | undefined };
  /** No other server has the database open. */
  readonly isAlone: () => Promise<boolean>;
}

const BATCH = 200;
const SEALED_TEXT = /sealed\.1\.[a-z0-9_-]{1,64}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/g;

/**
 * Finds the keys, or makes the first one for an installation that never had any. Throws `encryption_key_missing` when
 * something is sealed with a key that is not here: better no start than one after which secrets cannot be read.
 */
export async function openSealing({ store, clock, log, dataDir, settings, isAlone }: SealingDeps): Promise<Sealing> {
  const ring = openKeyring({ dataDir, clock, ...settings });
  const known = await store.keys();
  const missing = new Set(known.map(({ id }) => id).filter((id) => ring.find(id) === undefined));
  if (missing.size > 0) await refuseUnreadable(store, missing, ring);
  const current = known.find(({ isCurrent }) => isCurrent)?.id;
  const first = ring.first() ?? makeFirst(ring, log);
  const adopted = current ?? (await store.adopt({ id: first.id, now: clock.now() }));
  if (ring.find(adopted) !== undefined) return { ring, sealer: createSealer(ring, adopted) };
  if (await isAlone()) {
    log.warn(
      { key: adopted, instead: first.id },
      'the current encryption key is not here, and nothing is sealed with it: another takes its place',
    );
    await store.makeCurrent({ id: first.id, now: clock.now() });
    return { ring, sealer: createSealer(ring, first.id) };
  }
  // What this server sealed with a key of its own the others could not open: it seals nothing until it has theirs.
  log.error({ key: adopted, source: ring.source }, 'the encryption key of the other servers is not here: this one can keep no secrets');
  return { ring, sealer: createSealer(ring, adopted) };
}

function makeFirst(ring: Keyring, log: Logger) {
  if (!ring.isManaged)
    throw new PlatformError('config_invalid', { detail: `${ring.source} holds no key: \`openssl rand -base64 32\` makes one.` });
  const made = ring.make();
  log.info({ key: made.id, file: ring.source }, 'made the key that secrets are sealed with: keep a copy of it apart from the database');
  return made;
}

async function refuseUnreadable(store: SealedStore, missing: ReadonlySet<string>, ring: Keyring): Promise<void> {
  for await (const { row } of sealedRows(store))
    for (const id of keyIdsIn(row.text))
      if (missing.has(id))
        throw new PlatformError('encryption_key_missing', {
          detail: `Secrets in the database are sealed with the key ${id}, and ${ring.source} does not have it.`,
        });
}

/** Every sealed text, batch by batch; what comes in behind the place that is read is not seen. */
export async function* sealedRows(store: SealedStore): AsyncGenerator<{ readonly table: SealedTable; readonly row: SealedRow }> {
  for (const table of SEALED_TABLES) {
    let after = { tenantId: '', id: '' };
    for (;;) {
      const rows = await store.page({ table, after, limit: BATCH });
      for (const row of rows) yield { table, row };
      const last = rows.at(-1);
      if (last === undefined || rows.length < BATCH) break;
      after = { tenantId: last.tenantId, id: last.id };
    }
  }
}

export function keyIdsIn(text: string): readonly string[] {
  return [...text.matchAll(SEALED_TEXT)].map(([sealed]) => parseSealed(sealed)?.keyId ?? '');
}

/** The text with each sealed part under the current key. */
export function rewrapped(text: string, sealer: SwitchableSealer): string {
  return text.replaceAll(SEALED_TEXT, (sealed) => sealer.rewrap(sealed) ?? sealed);
}
