import type { AgentDefinition } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { type Contents, createContents } from '../contents/contents.ts';
import type { ContentLimits } from '../core/content-limits.ts';
import { createStoredFiles, type StoredFiles } from '../files/stored-files.ts';
import { createMemoryUse, type MemoryUse } from '../memory/memory.ts';
import type { Giving } from '../sessions/sessions.ts';
import { pinSkills } from '../skills/pin.ts';
import { createSkills, requireVersion, type Skills } from '../skills/skills.ts';
import type { Store } from '../store/store.ts';
import { resolveResources, resourceRows } from './resources.ts';
import { createSessionResources, type SessionResources } from './session-resources.ts';

/** All that clients give into keeping, as the routes stand on it. */
export interface KeptParts {
  readonly storedFiles: StoredFiles;
  readonly skills: Skills;
  readonly memory: MemoryUse;
  readonly resources: SessionResources;
  readonly contentLimits: ContentLimits;
}

export interface ContentParts {
  readonly kept: KeptParts;
  readonly contents: Contents;
  readonly giving: Giving;
  readonly checkSkills: (tenantId: string, skills: AgentDefinition['skills']) => Promise<void>;
}

/** Holds nothing of its own: however often it is made, it is the same. */
export function createContentParts({ store, clock, limits }: { store: Store; clock: Clock; limits: ContentLimits }): ContentParts {
  const contents = createContents({ store, clock });
  const storedFiles = createStoredFiles({ store, contents, clock, limits });
  const deps = { store, storedFiles, clock };
  return {
    kept: {
      storedFiles,
      skills: createSkills({ store, contents, clock }),
      memory: createMemoryUse({ store, clock }),
      resources: createSessionResources(deps),
      contentLimits: limits,
    },
    contents,
    giving: {
      resources: async (tenantId, params) => resourceRows(await resolveResources(deps, tenantId, params)),
      pin: (tenantId, definition) => pinSkills(store.skills, tenantId, definition),
    },
    async checkSkills(tenantId, skills) {
      for (const { skill_id: skillId, version } of skills) await requireVersion(store.skills, { tenantId, skillId, id: version });
    },
  };
}
