import { createHash } from 'node:crypto';
import { chmod, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { AgentSkill } from '@cloister/api';
import type { Contents } from '../contents/contents.ts';
import type { ContentLimits } from '../core/content-limits.ts';
import { SANDBOX_SKILLS } from '../harness/harness.ts';
import type { Store } from '../store/store.ts';
import { isCode, openRoot } from '../workspaces/held-directory.ts';
import { randomName } from '../workspaces/random-name.ts';
import { unpack } from '../workspaces/unpack.ts';
import { MAX_SKILL_FILES } from './skill-package.ts';
import { requireVersion } from './skills.ts';

/** The skills of an agent as a directory that its sandbox may read. */
export interface SkillSet {
  readonly directory: string;
  readonly notes: readonly { readonly name: string; readonly description: string; readonly path: string }[];
}

export interface SkillSets {
  /** Makes the directory on its first use here. Versions never change, so it never does either. */
  ensure(tenantId: string, skills: readonly AgentSkill[]): Promise<SkillSet>;
}

export interface SkillSetsDeps {
  readonly store: Pick<Store, 'skills'>;
  readonly contents: Contents;
  readonly dataDir: string;
  readonly limits: ContentLimits;
}

/** By which an agent that knows plugins finds the skills, wherever its own settings lie. */
const PLUGIN = JSON.stringify({ name: 'skills', description: 'Skills that this agent was given.' });

export function createSkillSets({ store, contents, dataDir, limits }: SkillSetsDeps): SkillSets {
  const folder = path.join(dataDir, 'skills');
  const making = new Map<string, Promise<void>>();
  // What an earlier life has left may be of skills that are no more, and no sandbox of that life is left.
  let cleared: Promise<void> | undefined;

  async function make(place: string, tenantId: string, versions: readonly Version[]): Promise<void> {
    if (await stat(place).catch((error: unknown) => (isCode(error, 'ENOENT') ? undefined : Promise.reject(error)))) return;
    const draft = path.join(folder, `.${randomName()}`);
    try {
      await mkdir(path.join(draft, '.claude-plugin'), { recursive: true, mode: 0o755 });
      await writeFile(path.join(draft, '.claude-plugin', 'plugin.json'), PLUGIN, { mode: 0o644 });
      for (const version of versions) {
        const target = path.join(draft, 'skills', version.name);
        await mkdir(target, { recursive: true, mode: 0o755 });
        await using held = await openRoot(target);
        const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
        const bounds = { maxBytes: 2 * limits.maxSkillBytes, maxEntries: 4 * MAX_SKILL_FILES };
        await unpack(contents.read(tenantId, version.blobId), held, { ...bounds, owner, origin: 'sent' });
      }
      // Whatever the umask of this process says, the sandbox's user reads them.
      for (const directory of ['.', '.claude-plugin', 'skills', ...versions.map(({ name }) => `skills/${name}`)])
        await chmod(path.join(draft, directory), 0o755);
      await rename(draft, place);
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      if (!isCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    }
  }

  return {
    async ensure(tenantId, skills) {
      cleared ??= rm(folder, { recursive: true, force: true });
      await cleared;
      const versions: Version[] = [];
      for (const { skill_id: skillId, version: id } of skills) versions.push(await requireVersion(store.skills, { tenantId, skillId, id }));
      const key = createHash('sha256')
        .update(JSON.stringify([tenantId, versions.map(({ id }) => id).toSorted()]))
        .digest('hex');
      const place = path.join(folder, key.slice(0, 32));
      const made = making.get(place) ?? make(place, tenantId, versions).finally(() => making.delete(place));
      making.set(place, made);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await made;
      const notes = versions.map(({ name, description }) => ({ name, description, path: `${SANDBOX_SKILLS}/skills/${name}` }));
      return { directory: place, notes };
    },
  };
}

interface Version {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly blobId: string;
}
