import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { stagesFor } from '../../src/runtime/recipe.ts';

const ROOT = path.resolve(import.meta.dirname, '../../../..');

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}
interface Job {
  readonly 'runs-on': string;
  readonly 'timeout-minutes': number;
  readonly needs?: string | readonly string[];
  readonly strategy?: { readonly matrix: { readonly include: readonly { readonly name: string; readonly target: string }[] } };
  readonly steps: readonly Step[];
}
interface Workflow {
  readonly on: object;
  readonly permissions: Readonly<Record<string, string>>;
  readonly concurrency: { readonly group: string; readonly 'cancel-in-progress': boolean };
  readonly jobs: Readonly<Record<string, Job>>;
}

const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');
const workflows = new Map(
  globSync('.github/workflows/*.yml', { cwd: ROOT }).map((file) => [path.basename(file), parse(read(file)) as Workflow]),
); // our own files, whose shape is checked here
const runsOf = (job: Job | undefined) => (job?.steps ?? []).flatMap(({ run }) => (run === undefined ? [] : [run])).join('\n');

describe('the workflows', () => {
  it('end what a newer commit makes pointless, ask for few rights, and have bounds', () => {
    assert.deepEqual([...workflows.keys()].sort(), ['ci.yml', 'release.yml']);
    for (const [name, { concurrency, permissions, jobs }] of workflows) {
      assert.equal(concurrency['cancel-in-progress'], true, name);
      assert.match(concurrency.group, /github\.ref/, name);
      assert.ok(Object.keys(permissions).length > 0, name);
      for (const [key, job] of Object.entries(jobs)) {
        assert.ok(job['timeout-minutes'] > 0, `${name}: ${key}`);
        for (const needed of [job.needs ?? []].flat()) assert.ok(jobs[needed] !== undefined, `${name}: ${key} needs ${needed}`);
      }
    }
  });

  it('use actions by their major version, and only files that exist', () => {
    for (const [name, { jobs }] of workflows)
      for (const job of Object.values(jobs)) {
        for (const { uses, with: options } of job.steps) {
          if (uses !== undefined) assert.match(uses, /^[\w-]+\/[\w-]+@v\d+$/, name);
          const file = options?.['node-version-file'];
          if (typeof file === 'string') assert.ok(existsSync(path.join(ROOT, file)), file);
        }
        for (const [, file = ''] of runsOf(job).matchAll(/(?:node |env "PATH=\$PATH" )((?:scripts|\.ci)\/[\w.-]+)/g))
          assert.ok(existsSync(path.join(ROOT, file)), file);
        for (const [, script = ''] of runsOf(job).matchAll(/npm run ([\w-]+)/g))
          assert.ok(script in JSON.parse(read('package.json')).scripts, script);
      }
  });

  it('run what .ci/run runs, and the gates', () => {
    const jobs = workflows.get('ci.yml')?.jobs ?? {};
    assert.match(runsOf(jobs.test), /\.ci\/run/);
    for (const gate of ['licences.ts', 'image-smoke.ts', 'report.ts']) assert.match(runsOf(jobs.images), new RegExp(gate));
  });

  it('release for both platforms every image that may be passed on, with what it is made of and checksums', () => {
    const jobs = workflows.get('release.yml')?.jobs ?? {};
    assert.match(read('.github/workflows/release.yml'), /PLATFORMS: linux\/amd64,linux\/arm64/);
    assert.match(runsOf(jobs.images), /buildx build[\s\S]*--platform "\$PLATFORMS"[\s\S]*--sbom=true/);
    assert.match(runsOf(jobs.package), /npm sbom/);
    assert.match(runsOf(jobs.publish), /sha256sum/);
    const images = jobs.images?.strategy?.matrix.include ?? [];
    assert.deepEqual(images.map(({ target }) => target).sort(), ['default', 'full', 'minimal', 'server']);
    for (const { name, target } of images) {
      const recipe = read(name === 'cloister' ? 'Dockerfile' : 'packages/agent-runner/image/Dockerfile');
      assert.match(stagesFor(recipe, target), new RegExp(`^FROM \\S+ AS ${target}$`, 'm'));
      assert.match(recipe, /^ARG BASE_IMAGE=/m, 'the base can be chosen');
      assert.doesNotMatch(recipe, /^# syntax=/m, 'a front end would be pulled from a registry');
    }
  });

  it('name no registry: where images go is said by a variable', () => {
    for (const file of globSync('.github/workflows/*.yml', { cwd: ROOT }))
      assert.doesNotMatch(read(file), /ghcr\.io|docker\.io|quay\.io|registry\.npmjs/, file);
  });
});
