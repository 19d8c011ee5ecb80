import { PlatformError } from '../base/errors.ts';

/** A limit of a plan that does not renew by itself is passed. */
export function planLimitReached({ limit, used, max }: { readonly limit: string; readonly used: number; readonly max: number }) {
  return new PlatformError('plan_limit_reached', {
    detail: `The plan allows ${max} of ${limit}, and ${used} are used.`,
    fields: [{ pointer: limit, message: `used ${used} of ${max}` }],
  });
}
