import { z } from 'zod';
import { PROBLEM_CODES } from '../problems.ts';

const fieldErrorSchema = z.object({
  pointer: z.string().describe('JSON pointer, or the name of a parameter or header'),
  message: z.string(),
});

/** The published envelope, with `code`, `fix`, `retryable`, `retry_after_ms` and `errors` as extensions. */
export const errorEnvelopeSchema = z.object({
  type: z.literal('error'),
  error: z.object({
    type: z.string(),
    message: z.string(),
    code: z.enum(PROBLEM_CODES as [string, ...string[]]),
    fix: z.string(),
    retryable: z.boolean(),
    retry_after_ms: z.int().optional(),
    errors: z.array(fieldErrorSchema).optional(),
  }),
  request_id: z.string(),
});

/** RFC 9457, for clients that ask for `application/problem+json`. */
export const problemDocumentSchema = z.object({
  type: z.string().describe('Ends in the code'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string(),
  code: z.string(),
  fix: z.string(),
  retryable: z.boolean(),
  retry_after_ms: z.int().optional(),
  errors: z.array(fieldErrorSchema).optional(),
});

export type ErrorEnvelope = z.infer<typeof errorEnvelopeSchema>;
export type ProblemDocument = z.infer<typeof problemDocumentSchema>;
