import {
  pageOf,
  pageQuerySchema,
  skillDeletedSchema,
  skillListQuerySchema,
  skillSchema,
  skillVersionDeletedSchema,
  skillVersionSchema,
} from '@cloister/api';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import { readAll } from '../../contents/contents.ts';
import { filesOfArchive, MAX_SKILL_FILES, packageOf, type SkillFile, type SkillPackage } from '../../skills/skill-package.ts';
import type { AppContext } from '../context.ts';
import { readMultipart } from '../multipart.ts';
import { type RouteTable, route } from '../openapi.ts';
import { answerStream, uploading } from './files.ts';
import { toPage } from './paging.ts';

const tag = 'Skills';
const MISSING = ['skill_not_found'] as const;
const MISSING_VERSION = [...MISSING, 'skill_version_not_found'] as const;
const REFUSED = [
  'upload_invalid',
  'skill_invalid',
  'archive_invalid',
  'archive_too_large',
  'body_timeout',
  'plan_limit_reached',
  'disk_full',
] as const;
const FORM = {
  mediaType: 'multipart/form-data',
  description:
    'Parts `files[]`: the files of the folder, each by its path as the filename, or one zip, tar or tar.gz of it; a field `display_name` may come too',
};
const ARCHIVE = /\.(zip|skill|tar|tar\.gz|tgz)$/i;
const MAX_NAME_BYTES = 1024;

export function skillRoutes(table: RouteTable): void {
  skillsRoutes(table);
  versionRoutes(table);
}

function skillsRoutes(table: RouteTable): void {
  const { skills } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/skills',
      operationId: 'createSkill',
      summary: 'Create a skill from a folder with a SKILL.md',
      tag,
      rawBody: FORM,
      response: skillSchema,
      problems: REFUSED,
    },
    async ({ c, tenantId, reservation }) => {
      const sent = await readSkill(table, c);
      return skills.create(tenantId, sent, reservation.idFor('skill'));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/skills',
      operationId: 'listSkills',
      summary: 'List skills',
      tag,
      query: skillListQuerySchema,
      response: pageOf(skillSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query: { limit, page, source } }) => {
      if (source !== undefined && source !== 'custom') return { data: [], next_page: null };
      return toPage(await skills.list(tenantId, { limit, page, order: 'desc' }));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/skills/{id}',
      operationId: 'getSkill',
      summary: 'Get a skill',
      tag,
      response: skillSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => skills.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/skills/{id}',
      operationId: 'deleteSkill',
      summary: 'Delete a skill with its versions; agents that name it cannot begin sessions any more',
      tag,
      response: skillDeletedSchema,
      problems: MISSING,
    },
    async ({ tenantId, param }) => {
      await skills.remove(tenantId, param('id'));
      return { id: param('id'), type: 'skill_deleted' as const };
    },
  );
}

function versionRoutes(table: RouteTable): void {
  const { skills } = table.deps;
  const path = '/v1/skills/{id}/versions';
  route(
    table,
    {
      method: 'post',
      path,
      operationId: 'createSkillVersion',
      summary: 'Add a version, which becomes the latest',
      tag,
      rawBody: FORM,
      response: skillVersionSchema,
      problems: [...MISSING, ...REFUSED],
    },
    async ({ c, tenantId, param, reservation }) => {
      await skills.get(tenantId, param('id'));
      const sent = await readSkill(table, c);
      return skills.addVersion(tenantId, param('id'), sent.package, reservation.idFor('skillVersion'));
    },
  );
  route(
    table,
    {
      method: 'get',
      path,
      operationId: 'listSkillVersions',
      summary: 'List the versions of a skill, newest first',
      tag,
      query: pageQuerySchema,
      response: pageOf(skillVersionSchema),
      problems: [...MISSING, 'cursor_invalid'],
    },
    async ({ tenantId, query: { limit, page }, param }) =>
      toPage(await skills.listVersions(tenantId, param('id'), { limit, page, order: 'desc' })),
  );
  route(
    table,
    {
      method: 'get',
      path: `${path}/{version}`,
      operationId: 'getSkillVersion',
      summary: 'Get a version of a skill; `latest` is one too',
      tag,
      response: skillVersionSchema,
      problems: MISSING_VERSION,
    },
    ({ tenantId, param }) => skills.getVersion(tenantId, param('id'), param('version')),
  );
  route(
    table,
    {
      method: 'get',
      path: `${path}/{version}/content`,
      operationId: 'downloadSkillVersion',
      summary: 'The files of a version as tar.gz',
      tag,
      response: { mediaType: 'application/gzip', description: 'tar.gz' },
      problems: [...MISSING_VERSION, 'overloaded'],
    },
    async ({ c, tenantId, param }) => {
      const { name, chunks } = await skills.open(tenantId, param('id'), param('version'));
      const headers = { 'Content-Type': 'application/gzip' };
      return answerStream(table, c, { chunks, headers, status: 200, name: `${name}.tar.gz`, close: async () => undefined });
    },
  );
  route(
    table,
    {
      method: 'delete',
      path: `${path}/{version}`,
      operationId: 'deleteSkillVersion',
      summary: 'Delete a version of a skill, but not its only one',
      tag,
      response: skillVersionDeletedSchema,
      problems: [...MISSING_VERSION, 'skill_version_needed'],
    },
    async ({ tenantId, param }) => {
      await skills.removeVersion(tenantId, param('id'), param('version'));
      return { id: param('version'), type: 'skill_version_deleted' as const };
    },
  );
}

interface SentSkill {
  readonly package: SkillPackage;
  readonly displayName: string | undefined;
}

/** A skill is small and is looked at whole. */
function readSkill(table: RouteTable, c: AppContext): Promise<SentSkill> {
  const { maxSkillBytes } = table.deps.contentLimits;
  return uploading(table, c, async (source) => {
    const files: SkillFile[] = [];
    let displayName: string | undefined;
    let left = maxSkillBytes;
    const read = async (body: AsyncIterable<Uint8Array>) => {
      const bytes = await readAll(body, left).catch((error: unknown) => Promise.reject(tooLarge(error, maxSkillBytes)));
      left -= bytes.length;
      return bytes;
    };
    for await (const { name, filename, body } of readMultipart(source, c.req.header('content-type'))) {
      if (name === 'display_name') displayName = parseName((await readAll(body, MAX_NAME_BYTES)).toString('utf8'));
      if (filename === undefined || !/^(files?(\[\d*\])?)$/.test(name)) continue;
      if (files.length >= MAX_SKILL_FILES) throw tooLarge(undefined, maxSkillBytes);
      files.push({ path: filename.replace(/^\.\//, ''), bytes: await read(body), isExecutable: false });
    }
    const [first] = files;
    if (first === undefined) throw new PlatformError('upload_invalid', { detail: 'The upload has no part `files[]` with a filename.' });
    const isArchive = files.length === 1 && ARCHIVE.test(first.path);
    const unpacked = isArchive ? await filesOfArchive(first.bytes, maxSkillBytes) : files;
    return { package: packageOf(unpacked, maxSkillBytes), displayName };
  });
}

function parseName(text: string): string {
  const name = text.trim();
  if (name !== '' && name.length <= 256 && name.isWellFormed()) return name;
  throw new PlatformError('request_invalid', {
    detail: 'display_name is not 1 to 256 characters.',
    fields: [{ pointer: 'display_name', message: '1 to 256 characters' }],
  });
}

function tooLarge(cause: unknown, maxBytes: number): unknown {
  if (cause !== undefined && !isPlatformError(cause, 'file_too_large')) return cause;
  return new PlatformError('archive_too_large', { detail: `The skill has more than ${maxBytes} bytes or ${MAX_SKILL_FILES} files.` });
}
