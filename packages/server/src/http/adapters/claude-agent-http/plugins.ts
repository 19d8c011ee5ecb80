import { createHash } from 'node:crypto';
import path from 'node:path';
import { isPlatformError } from '../../../base/errors.ts';
import { skillsOfFolder } from '../../../skills/skill-folder.ts';
import type { SkillPackage } from '../../../skills/skill-package.ts';
import type { HttpDeps } from '../../context.ts';
import { stableId } from '../user-place.ts';
import type { ADAPTER } from './user-sessions.ts';

type Settings = HttpDeps['adapters']['agentHttp'];

/** Read once: what changes in a plugin counts after the next start. */
const read = new WeakMap<Settings, Promise<readonly SkillPackage[]>>();

/** The skills of the plugins, as skills of the tenant: made when they are first needed, and anew when their files have changed. */
export async function pluginSkills(
  deps: HttpDeps,
  { tenantId, adapter }: { readonly tenantId: string; readonly adapter: typeof ADAPTER },
): Promise<readonly { readonly type: 'custom'; readonly skill_id: string }[]> {
  const settings = deps.adapters.agentHttp;
  if (settings.plugins.length === 0) return [];
  const packages = read.get(settings) ?? readPlugins(settings);
  read.set(settings, packages);
  const skills: { type: 'custom'; skill_id: string }[] = [];
  for (const skill of await packages) {
    const id = stableId('skill', tenantId, adapter, skill.name, fingerprintOf(skill));
    const made = await deps.skills.get(tenantId, id).catch((error: unknown) => {
      if (!isPlatformError(error, 'skill_not_found')) throw error;
    });
    if (made === undefined) await deps.skills.create(tenantId, { package: skill }, id);
    skills.push({ type: 'custom', skill_id: id });
  }
  return skills;
}

async function readPlugins({ plugins }: Settings): Promise<readonly SkillPackage[]> {
  const packages = await Promise.all(plugins.map((folder) => skillsOfFolder(path.join(folder, 'skills'))));
  // Of two with the same name the later one counts.
  return [...new Map(packages.flat().map((skill) => [skill.name, skill])).values()];
}

function fingerprintOf({ files }: SkillPackage): string {
  const hash = createHash('sha256');
  for (const { path: name, bytes, isExecutable } of files) hash.update(JSON.stringify([name, bytes.length, isExecutable])).update(bytes);
  return hash.digest('hex');
}
