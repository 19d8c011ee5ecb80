import type { AgentDefinition } from '@cloister/api';
import { PlatformError } from '../base/errors.ts';
import type { SkillStore } from '../store/store.ts';
import { requireVersion } from './skills.ts';

/** The same definition with each skill at the version it is now. Throws for what is not there, and for two of one name. */
export async function pinSkills(store: SkillStore, tenantId: string, definition: AgentDefinition): Promise<AgentDefinition> {
  if (definition.skills.length === 0) return definition;
  const names = new Set<string>();
  const skills: AgentDefinition['skills'] = [];
  for (const [index, skill] of definition.skills.entries()) {
    const { id, name } = await requireVersion(store, { tenantId, skillId: skill.skill_id, id: skill.version });
    if (names.has(name))
      throw new PlatformError('request_invalid', {
        detail: `Two of the agent's skills have the name ${name}.`,
        fields: [{ pointer: `/skills/${index}/skill_id`, message: 'has the name of another' }],
      });
    names.add(name);
    skills.push({ ...skill, version: id });
  }
  return { ...definition, skills };
}
