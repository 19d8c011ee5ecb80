import { PlatformError } from '../base/errors.ts';
import { isProvider } from '../core/model.ts';
import type { Sealer } from '../core/sealing.ts';
import type { KeyCheck, KeyVerdict } from '../egress/gateway.ts';
import type { CredentialRow } from '../store/store.ts';
import { providerConfigOf } from './resolver.ts';

/** Tries a provider key. Throws `capability_unsupported` for a credential of another kind. */
export type KeyTest = (row: CredentialRow) => Promise<Omit<KeyVerdict, 'models'> & { models: string[] }>;

export function createKeyTest({ sealer, check }: { readonly sealer: Sealer; readonly check: KeyCheck }): KeyTest {
  return async (row) => {
    if (row.kind !== 'provider_key' || !isProvider(row.target))
      throw new PlatformError('capability_unsupported', { detail: 'Only keys of model providers can be tested.' });
    const verdict = await check(row.target, providerConfigOf(row, sealer));
    return { ...verdict, models: [...verdict.models] };
  };
}
