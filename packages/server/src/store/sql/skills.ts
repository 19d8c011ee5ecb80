import { invariant, PlatformError } from '../../base/errors.ts';
import type { NewSkillVersion, SkillRow, SkillStore, SkillVersionRow } from '../store.ts';
import { nameBlob, removeBlob } from './contents.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { all, get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, text } from './rows.ts';

const SELECT = 'SELECT * FROM skills';
const OF_SKILL = 'tenant_id = :tenantId AND id = :id';
const HOLD: Sql = ({ forUpdate }) => `${SELECT} WHERE ${OF_SKILL} ${forUpdate()}`;
const INSERT = `INSERT INTO skills (tenant_id, id, display_name, latest_version_id, created_at, updated_at)
  VALUES (:tenantId, :id, :displayName, :versionId, :now, :now)`;
const SET_LATEST = 'UPDATE skills SET latest_version_id = :versionId, updated_at = :now WHERE tenant_id = :tenantId AND id = :id';
const REMOVE = `DELETE FROM skills WHERE ${OF_SKILL}`;
const SELECT_VERSION = 'SELECT * FROM skill_versions';
const OF_VERSION = 'tenant_id = :tenantId AND skill_id = :skillId AND id = :id';
const OF_VERSIONS = 'tenant_id = :tenantId AND skill_id = :skillId';
const INSERT_VERSION = `INSERT INTO skill_versions (tenant_id, skill_id, id, blob_id, name, description, created_at)
  VALUES (:tenantId, :skillId, :id, :blobId, :name, :description, :now)`;
const REMOVE_VERSION = `DELETE FROM skill_versions WHERE ${OF_VERSION}`;
const NEWEST_BUT = `SELECT id FROM skill_versions WHERE ${OF_VERSIONS} AND id <> :id ORDER BY created_at DESC, id DESC LIMIT 1`;

export function createSkillStore(engine: Engine): SkillStore {
  return {
    create: ({ tenantId, id, displayName, version, now }) =>
      engine.write(function* () {
        const made = yield* getAs(parseSkill, `${SELECT} WHERE ${OF_SKILL}`, { tenantId, id });
        if (made !== undefined) return made;
        yield* run(INSERT, { tenantId, id, displayName, versionId: version.id, now });
        yield* insertVersion({ tenantId, skillId: id, version, now });
        return yield* requireSkill({ tenantId, id });
      }),
    find: ({ tenantId, id }) => engine.read(() => getAs(parseSkill, `${SELECT} WHERE ${OF_SKILL}`, { tenantId, id })),
    list: ({ tenantId, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['skills', tenantId],
            select: SELECT,
            filters: filtersOf({ tenantId }, ['tenant_id = :tenantId']),
            keys: KEYS,
            parse: parseSkill,
          },
          input,
        ),
      ),
    remove: ({ tenantId, id }) => engine.write(() => remove({ tenantId, id })),
    addVersion: (input) => engine.write(() => addVersion(input)),
    findVersion: ({ tenantId, skillId, id }) =>
      engine.read(() => getAs(parseVersion, `${SELECT_VERSION} WHERE ${OF_VERSION}`, { tenantId, skillId, id })),
    listVersions: ({ tenantId, skillId, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['skill-versions', tenantId, skillId],
            select: SELECT_VERSION,
            filters: filtersOf({ tenantId, skillId }, [OF_VERSIONS]),
            keys: KEYS,
            parse: parseVersion,
          },
          input,
        ),
      ),
    removeVersion: (input) => engine.write(() => removeVersion(input)),
  };
}

const KEYS = [
  { column: 'created_at', as: 'created_at' },
  { column: 'id', as: 'id' },
];

function* addVersion({ tenantId, skillId, version, now }: Parameters<SkillStore['addVersion']>[0]): Query<SkillVersionRow> {
  const key = { tenantId, skillId, id: version.id };
  if ((yield* get(HOLD, { tenantId, id: skillId })) === undefined) throw new PlatformError('skill_not_found');
  const made = yield* getAs(parseVersion, `${SELECT_VERSION} WHERE ${OF_VERSION}`, key);
  if (made !== undefined) return made;
  yield* insertVersion({ tenantId, skillId, version, now });
  yield* run(SET_LATEST, { tenantId, id: skillId, versionId: version.id, now });
  return yield* requireVersion(key);
}

interface Insertion {
  readonly tenantId: string;
  readonly skillId: string;
  readonly version: NewSkillVersion;
  readonly now: number;
}

function* insertVersion({ tenantId, skillId, version, now }: Insertion): Query<void> {
  const { id, blobId, name, description } = version;
  yield* nameBlob({ tenantId, ...version });
  yield* run(INSERT_VERSION, { tenantId, skillId, id, blobId, name, description, now });
}

function* remove({ tenantId, id }: { readonly tenantId: string; readonly id: string }): Query<boolean> {
  if ((yield* get(HOLD, { tenantId, id })) === undefined) return false;
  const versions = (yield* all(`${SELECT_VERSION} WHERE ${OF_VERSIONS}`, { tenantId, skillId: id })).map(parseVersion);
  for (const version of versions) yield* dropVersion(version);
  yield* run(REMOVE, { tenantId, id });
  return true;
}

function* removeVersion({ tenantId, skillId, id, now }: Parameters<SkillStore['removeVersion']>[0]): Query<boolean> {
  const skill = yield* getAs(parseSkill, HOLD, { tenantId, id: skillId });
  const version = yield* getAs(parseVersion, `${SELECT_VERSION} WHERE ${OF_VERSION}`, { tenantId, skillId, id });
  if (skill === undefined || version === undefined) return false;
  const newest = yield* get(NEWEST_BUT, { tenantId, skillId, id });
  if (newest === undefined) throw new PlatformError('skill_version_needed');
  if (skill.latestVersionId === id) yield* run(SET_LATEST, { tenantId, id: skillId, versionId: text(newest, 'id'), now });
  yield* dropVersion(version);
  return true;
}

function* dropVersion({ tenantId, skillId, id, blobId }: SkillVersionRow): Query<void> {
  yield* run(REMOVE_VERSION, { tenantId, skillId, id });
  yield* removeBlob({ tenantId, id: blobId });
}

function* requireSkill({ tenantId, id }: { readonly tenantId: string; readonly id: string }): Query<SkillRow> {
  const row = yield* getAs(parseSkill, `${SELECT} WHERE ${OF_SKILL}`, { tenantId, id });
  invariant(row !== undefined, 'a skill that was just written exists');
  return row;
}

function* requireVersion(key: Record<'tenantId' | 'skillId' | 'id', string>): Query<SkillVersionRow> {
  const row = yield* getAs(parseVersion, `${SELECT_VERSION} WHERE ${OF_VERSION}`, key);
  invariant(row !== undefined, 'a version that was just written exists');
  return row;
}

function parseSkill(row: Row): SkillRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    displayName: text(row, 'display_name'),
    latestVersionId: text(row, 'latest_version_id'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
  };
}

function parseVersion(row: Row): SkillVersionRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    skillId: text(row, 'skill_id'),
    blobId: text(row, 'blob_id'),
    name: text(row, 'name'),
    description: text(row, 'description'),
    createdAt: integer(row, 'created_at'),
  };
}
