import type { Skill, SkillVersion } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Contents } from '../contents/contents.ts';
import type { NewSkillVersion, Page, PageInput, SkillRow, SkillStore, SkillVersionRow, Store } from '../store/store.ts';
import { packSkill, type SkillPackage } from './skill-package.ts';

/** Use cases of skills. Ids of other tenants are as missing ones. */
export interface Skills {
  /** With ids, the skill is the one of that id, made now or by an earlier try. */
  create(
    tenantId: string,
    input: { readonly package: SkillPackage; readonly displayName?: string | undefined },
    id?: string,
  ): Promise<Skill>;
  get(tenantId: string, id: string): Promise<Skill>;
  list(tenantId: string, input: PageInput): Promise<Page<Skill>>;
  remove(tenantId: string, id: string): Promise<void>;
  addVersion(tenantId: string, skillId: string, skill: SkillPackage, id?: string): Promise<SkillVersion>;
  getVersion(tenantId: string, skillId: string, id: string): Promise<SkillVersion>;
  listVersions(tenantId: string, skillId: string, input: PageInput): Promise<Page<SkillVersion>>;
  removeVersion(tenantId: string, skillId: string, id: string): Promise<void>;
  /** The version's files as tar.gz. */
  open(tenantId: string, skillId: string, id: string): Promise<{ readonly name: string; readonly chunks: AsyncGenerator<Uint8Array> }>;
}

export interface SkillsDeps {
  readonly store: Pick<Store, 'skills'>;
  readonly contents: Contents;
  readonly clock: Clock;
}

export function createSkills({ store, contents, clock }: SkillsDeps): Skills {
  const { skills } = store;
  async function keep(tenantId: string, skill: SkillPackage, id: string): Promise<NewSkillVersion> {
    const bytes = packSkill(skill);
    const blob = await contents.write(tenantId, once(bytes), { maxBytes: bytes.length });
    return { id, name: skill.name, description: skill.description, ...blob };
  }
  return {
    async create(tenantId, { package: skill, displayName }, id = newId('skill')) {
      const version = await keep(tenantId, skill, newId('skillVersion'));
      const row = await contents.naming(tenantId, version, () =>
        skills.create({ tenantId, id, displayName: displayName ?? skill.name, version, now: clock.now() }),
      );
      if (row.latestVersionId !== version.id) await contents.discard(tenantId, version.blobId);
      return toSkill(row);
    },
    get: async (tenantId, id) => toSkill(await requireSkill(skills, tenantId, id)),
    list: async (tenantId, input) => mapPage(await skills.list({ tenantId, ...input }), toSkill),
    async remove(tenantId, id) {
      if (!(await skills.remove({ tenantId, id }))) throw skillNotFound(id);
    },
    async addVersion(tenantId, skillId, skill, id = newId('skillVersion')) {
      await requireSkill(skills, tenantId, skillId);
      const version = await keep(tenantId, skill, id);
      const row = await contents.naming(tenantId, version, () => skills.addVersion({ tenantId, skillId, version, now: clock.now() }));
      if (row.blobId !== version.blobId) await contents.discard(tenantId, version.blobId);
      return toVersion(row);
    },
    getVersion: async (tenantId, skillId, id) => toVersion(await requireVersion(skills, { tenantId, skillId, id })),
    async listVersions(tenantId, skillId, input) {
      await requireSkill(skills, tenantId, skillId);
      return mapPage(await skills.listVersions({ tenantId, skillId, ...input }), toVersion);
    },
    async removeVersion(tenantId, skillId, id) {
      const { id: versionId } = await requireVersion(skills, { tenantId, skillId, id });
      await skills.removeVersion({ tenantId, skillId, id: versionId, now: clock.now() });
    },
    async open(tenantId, skillId, id) {
      const { name, blobId } = await requireVersion(skills, { tenantId, skillId, id });
      return { name, chunks: contents.read(tenantId, blobId) };
    },
  };
}

async function requireSkill(skills: SkillStore, tenantId: string, id: string): Promise<SkillRow> {
  const row = await skills.find({ tenantId, id });
  if (row === undefined) throw skillNotFound(id);
  return row;
}

/** `latest` is the latest of now. Throws `skill_not_found`, `skill_version_not_found`. */
export async function requireVersion(
  skills: SkillStore,
  { tenantId, skillId, id }: { readonly tenantId: string; readonly skillId: string; readonly id: string },
): Promise<SkillVersionRow> {
  const skill = await requireSkill(skills, tenantId, skillId);
  const row = await skills.findVersion({ tenantId, skillId, id: id === 'latest' ? skill.latestVersionId : id });
  if (row !== undefined) return row;
  throw new PlatformError('skill_version_not_found', { detail: `The skill has no version "${id.slice(0, 80).toWellFormed()}".` });
}

function skillNotFound(id: string): PlatformError {
  return new PlatformError('skill_not_found', { detail: `There is no skill "${id.slice(0, 80).toWellFormed()}".` });
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function toSkill(row: SkillRow): Skill {
  return {
    id: row.id,
    type: 'skill',
    display_name: row.displayName,
    latest_version_id: row.latestVersionId,
    source: { type: 'custom' },
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
  };
}

function toVersion(row: SkillVersionRow): SkillVersion {
  return {
    id: row.id,
    type: 'skill_version',
    skill_id: row.skillId,
    name: row.name,
    description: row.description,
    created_at: toTimestamp(row.createdAt),
  };
}
