import type { z } from 'zod';
import type { AdapterProblem, RenderedError } from '../support.ts';
import type { errorSchema } from './schemas.ts';

/** The statuses that ClawHQ's clients know these by. */
const STATUSES: Readonly<Record<string, number>> = {
  service_limit_reached: 403,
  plan_limit_reached: 403,
  service_ports_exhausted: 503,
  image_missing: 503,
  provider_not_configured: 503,
  model_unknown: 400,
};

export function clawHqError({ status, error, requestId }: AdapterProblem): RenderedError {
  const { message, code, fix, errors } = error;
  const body: z.infer<typeof errorSchema> = {
    error: message,
    code,
    fix,
    ...(errors === undefined ? {} : { details: errors.map((one) => ({ path: one.pointer, message: one.message })) }),
    requestId,
  };
  return { status: STATUSES[code] ?? status, body };
}
