import { timingSafeEqual } from 'node:crypto';
import type { ServiceCallback } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import type { ServiceStore } from '../store/store.ts';
import { hashCallbackToken } from './files.ts';

/** What a service's program tells. Throws `credentials_invalid` when the token is not the one its container was given. */
export type Report = (id: string, token: string | undefined, body: ServiceCallback) => Promise<void>;

export function createReport({ services, clock }: { readonly services: ServiceStore; readonly clock: Clock }): Report {
  return async (id, token, body) => {
    const row = await services.findById({ id });
    const given = Buffer.from(hashCallbackToken(token ?? ''));
    // Compared also where there is nothing to compare with, so that the time tells nothing.
    const isRight = timingSafeEqual(Buffer.from(row?.callbackHash ?? hashCallbackToken('')), given);
    if (row === undefined || row.callbackHash === null || token === undefined || !isRight) throw new PlatformError('credentials_invalid');
    const { status = null, progress = null, message = null } = body;
    await services.report({ tenantId: row.tenantId, id, reported: { status, progress, message }, now: clock.now() });
  };
}
