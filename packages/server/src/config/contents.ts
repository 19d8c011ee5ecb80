import type { ContentLimits } from '../core/content-limits.ts';
import { type Environment, integer } from './values.ts';

const MIB = 1024 ** 2;

export function contentLimits(env: Environment): ContentLimits {
  return {
    maxUploadBytes: integer(env, 'MAX_UPLOAD_BYTES', 100 * MIB, { min: 1024, max: 2 * 1024 * MIB }),
    maxSkillBytes: integer(env, 'MAX_SKILL_BYTES', 30 * MIB, { min: 1024, max: 512 * MIB }),
  };
}
