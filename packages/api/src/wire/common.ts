import { z } from 'zod';

/** RFC 3339 in UTC with milliseconds. */
export const timestampSchema = z.iso.datetime({ offset: true }).describe('RFC 3339 timestamp');

export const metadataSchema = z
  .record(z.string().min(1).max(64), z.string().max(512))
  .refine((value) => Object.keys(value).length <= 16, 'at most 16 pairs')
  .describe('Up to 16 pairs of your own; keys up to 64, values up to 512 characters');

/** A null value takes the key out. */
export const metadataPatchSchema = z.record(z.string().min(1).max(64), z.string().max(512).nullable());

export const nameSchema = z.string().trim().min(1).max(256);

/** Published fields that only their empty form is accepted of, since this installation has nothing behind them. */
export const emptyListSchema = z.array(z.unknown()).nullish();

/** A published list that is always empty here. */
export const noneSchema = z.array(z.unknown()).max(0);

const limitSchema = z.coerce.number().int().min(1).max(100);

export const pageQuerySchema = z.strictObject({
  limit: limitSchema.default(20).describe('How many to return, 1 to 100'),
  page: z.string().optional().describe('`next_page` of the page before'),
  beta: z.string().optional().describe('Sent by official SDKs; ignored'),
});

export const createdRangeShape = {
  'created_at[gt]': timestampSchema.optional(),
  'created_at[gte]': timestampSchema.optional(),
  'created_at[lt]': timestampSchema.optional(),
  'created_at[lte]': timestampSchema.optional(),
};

/** `true`, `false`, `1`, `0` in a query string. */
export const queryFlagSchema = z.enum(['true', 'false', '1', '0']).transform((value) => value === 'true' || value === '1');

export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ data: z.array(item), next_page: z.string().nullable(), prev_page: z.string().nullable().optional() });
}

/** Where something of somebody else's answers. */
export const remoteUrlSchema = z
  .string()
  .max(2048)
  .refine((text) => {
    const url = URL.parse(text);
    return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' && url.hash === '';
  }, 'an http or https URL without a user and without a fragment');
