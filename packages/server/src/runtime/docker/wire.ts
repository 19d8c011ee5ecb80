import { z } from 'zod';

/** What we read of the engine's answers; unknown fields are passed over, wrong ones throw here and nowhere else. */

export const createdContainer = z.object({ Id: z.string().min(1) });

const containerState = z.object({
  Status: z.string(),
  Running: z.boolean(),
  ExitCode: z.number(),
  OOMKilled: z.boolean().catch(false),
  StartedAt: z.string().catch(''),
});

export const inspectedContainer = z.object({
  Id: z.string(),
  Created: z.string(),
  State: containerState,
  Config: z.object({ Labels: z.record(z.string(), z.string()).nullish() }),
});
export type InspectedContainer = z.infer<typeof inspectedContainer>;

export const listedContainers = z.array(
  z.object({ Id: z.string(), Created: z.number(), State: z.string(), Labels: z.record(z.string(), z.string()).nullish() }),
);

export const waited = z.object({ StatusCode: z.number() });

export const createdExec = z.object({ Id: z.string().min(1) });
export const inspectedExec = z.object({ Running: z.boolean(), ExitCode: z.number().nullish() });

export const engineEvent = z.object({
  Action: z.string(),
  Actor: z.object({ ID: z.string(), Attributes: z.record(z.string(), z.string()).nullish() }),
  timeNano: z.number().catch(0),
});
export type EngineEvent = z.infer<typeof engineEvent>;

export const engineVersion = z.object({ Version: z.string(), Platform: z.object({ Name: z.string() }).nullish() });

export const engineInfo = z.object({
  OSType: z.string().catch('linux'),
  MemoryLimit: z.boolean().catch(true),
  PidsLimit: z.boolean().catch(true),
  CpuCfsQuota: z.boolean().catch(true),
  SecurityOptions: z.array(z.string()).nullish(),
});

export const inspectedImage = z.object({
  Id: z.string(),
  Config: z.object({ Labels: z.record(z.string(), z.string()).nullish() }).nullish(),
});

export const buildLine = z.object({
  stream: z.string().optional(),
  status: z.string().optional(),
  id: z.string().optional(),
  error: z.string().optional(),
});
