import { diskSchema, toBytes } from '@cloister/api';
import { type Environment, integer, invalid, textOr } from './values.ts';

/** How agents are deployed that come by ClawHQ's API. */
export interface ClawHqSettings {
  readonly image: string;
  readonly memoryBytes: number;
  /** The port that the image listens on, and answers `/health` on. */
  readonly port: number;
}

export function clawHqSettings(env: Environment): ClawHqSettings {
  const memory = textOr(env, 'CLAWHQ_MEMORY', '512m');
  const parsed = diskSchema.safeParse(memory);
  if (!parsed.success) throw invalid('CLAWHQ_MEMORY', `"${memory}" is no size from 64m, such as 512m`);
  return {
    image: textOr(env, 'CLAWHQ_IMAGE', 'clawhq-openclaw:latest'),
    memoryBytes: toBytes(parsed.data),
    port: integer(env, 'CLAWHQ_PORT', 18_789, { min: 1, max: 65_535 }),
  };
}
