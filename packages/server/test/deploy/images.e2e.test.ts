import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { SIZE_LIMITS } from '../../../../scripts/gates.ts';
import { compressedBytes } from '../../../../scripts/image-sizes.ts';
import { smokeImage } from '../../../../scripts/image-smoke.ts';
import { findAssets } from '../../src/assets.ts';
import { newUnique } from '../../src/base/ids.ts';
import { ensureSandboxImage, ensureServerImage } from '../../src/runtime/image.ts';
import { docker, engineMissing } from '../support/engine.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../../../..');
const BASE = 'node:24-bookworm-slim';

/** As the server is: no rights, nothing to write to, no network. */
const HARDENED = '--rm --read-only --network none --cap-drop ALL --security-opt no-new-privileges:true --tmpfs /tmp'.split(' ');

describe('the images', { timeout: 600_000 }, () => {
  const tag = newUnique().toLowerCase();
  const server = `cloister:images-${tag}`;
  const minimal = `cloister-sandbox:images-${tag}-minimal`;
  const standard = `cloister-sandbox:images-${tag}`;
  const made: string[] = [];
  let skip: string | false = false;

  before(async () => {
    skip = await engineMissing();
    if (skip !== false) return;
    const distDir = path.join(ROOT, 'packages/server/dist');
    if (!existsSync(path.join(distDir, 'cloister.mjs'))) await run(process.execPath, [path.join(ROOT, 'scripts/build.ts'), '--quiet']);
    const { sandboxImage: recipeDir, sandboxRunner: runnerDir } = findAssets();
    const onProgress = () => undefined;
    for (const [variant, image] of [
      ['minimal', minimal],
      ['default', standard],
    ] as const) {
      await ensureSandboxImage({ variant, tag: image, recipeDir, runnerDir, onProgress });
      made.push(image);
    }
    await ensureServerImage({ tag: server, recipeDir: ROOT, distDir, onProgress });
    made.push(server);
  });
  after(async () => {
    if (made.length > 0) await docker('rmi', ...made);
  });

  const sizeOf = async (image: string) => Number(await docker('image', 'inspect', '--format', '{{.Size}}', image));
  /** As a sandbox is: no rights, nothing to write to but the workspace, no network. */
  const SANDBOXED =
    '--rm --read-only --network none --cap-drop ALL --security-opt no-new-privileges:true --tmpfs /tmp --tmpfs /workspace:uid=4321';
  const inside = (image: string, script: string) => docker('run', ...SANDBOXED.split(' '), image, 'sh', '-c', script);

  it('weigh no more than they may', async (t) => {
    if (skip !== false) return t.skip(skip);
    const base = await sizeOf(BASE);
    for (const [name, image] of [
      ['sandbox image minimal over its base', minimal],
      ['sandbox image default over its base', standard],
    ] as const) {
      const over = (await sizeOf(image)) - base;
      assert.ok(over >= 0 && over < SIZE_LIMITS[name], `${name}: ${over} bytes`);
    }
    const sent = await compressedBytes(server);
    assert.ok(sent > 0 && sent < SIZE_LIMITS['server image, compressed'], `server image, compressed: ${sent} bytes`);
  });

  it('leave in the server’s image no program but Node and Cloister, and its places to those they belong to', async (t) => {
    if (skip !== false) return t.skip(skip);
    const id = (await docker('create', server)).trim();
    const { stdout: listing } = await run('sh', ['-c', `docker export ${id} | tar --numeric-owner -tv; docker rm -v ${id} >&2`]);
    const entries = listing.split('\n').map((line) => line.trim().split(/\s+/));
    const programs = entries.filter(([mode = '', , size = '0']) => /^-..x/.test(mode) && size !== '0').map((entry) => entry.at(-1) ?? '');
    assert.deepEqual(programs.filter((one) => !/^lib(64)?\/.*\.so(\.\d+)*$/.test(one)).sort(), [
      'usr/local/bin/cloister',
      'usr/local/bin/node',
    ]);
    const placed = new Map(entries.map(([mode, owner, ...rest]) => [rest.at(-1), `${mode} ${owner}`]));
    assert.equal(placed.get('data/'), 'drwx------ 1000/1000');
    assert.equal(placed.get('run/cloister/'), 'drwxr-x--- 0/1000');
    assert.equal(placed.get('tmp/'), 'drwxrwxrwt 0/0');
    // Scanners learn there what the libraries are from.
    assert.ok(placed.has('var/lib/dpkg/status.d/libc6'));
  });

  it('let the server resolve names, and trust the public authorities and those of its operator', async (t) => {
    if (skip !== false) return t.skip(skip);
    await using folder = await mkdtempDisposable(path.join(tmpdir(), 'cloister-images-'));
    await chmod(folder.path, 0o755);
    const own = `-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${folder.path}/own.key -out ${folder.path}/own.pem`;
    await run('openssl', ['req', ...own.split(' '), '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '1']);
    await chmod(`${folder.path}/own.key`, 0o644);
    const CALL = `
      const served = https.createServer({ key: fs.readFileSync('/own/own.key'), cert: fs.readFileSync('/own/own.pem') }, (_, response) => response.end());
      served.listen(0, '127.0.0.1', async () => {
        const answer = await fetch('https://localhost:' + served.address().port).then(({ status }) => status, ({ cause }) => cause.code);
        console.log(answer, tls.getCACertificates('system').length > 100, require('node:os').userInfo().username);
        process.exit();
      });`;
    const call = async (...more: string[]) =>
      (await docker('run', ...HARDENED, '--volume', `${folder.path}:/own:ro`, ...more, '--entrypoint', 'node', server, '-e', CALL)).trim();
    assert.equal(await call(), 'DEPTH_ZERO_SELF_SIGNED_CERT true node');
    assert.equal(await call('--env', 'NODE_EXTRA_CA_CERTS=/own/own.pem'), '200 true node');
    assert.equal(await call('--volume', `${folder.path}/own.pem:/etc/ssl/certs/own.pem:ro`), '200 true node');
  });

  it('give the sandbox’s recipe and programs to a builder, without a shell', async (t) => {
    if (skip !== false) return t.skip(skip);
    const { stdout } = await run('sh', ['-c', `docker run ${HARDENED.join(' ')} ${server} image context --variant minimal | tar -tv`]);
    assert.match(stdout, / Dockerfile$/m);
    assert.match(stdout, / runner\/supervisor\.mjs$/m);
    const whole = await run('sh', ['-c', `docker run ${HARDENED.join(' ')} ${server} image context | tar -xO Dockerfile`]);
    assert.match(whole.stdout, /AS full$/m);
    await assert.rejects(docker('run', ...HARDENED, server, 'image', 'context', '--variant', 'huge'), /no variant huge[\s\S]*Name one of/);
  });

  it('give the default sandbox its tools, as user 1000 on a read-only root, and the minimal one none', async (t) => {
    if (skip !== false) return t.skip(skip);
    const tried = await inside(
      standard,
      `id -u; touch /opt/x 2>&1; git -C /workspace status 2>&1 | head -n 1; cd /tmp && git init -q . && echo needle > hay && rg -l needle;
       python3 -c 'print(6 * 7)'; echo '{"a":"b"}' | jq -r .a; curl --version | head -c 5; echo; ps -o pid= -p 1; unzip -v | head -c 6; less --version | head -c 5`,
    );
    const lines = tried.split('\n').map((line) => line.trim());
    assert.equal(lines[0], '1000', tried);
    assert.match(lines[1] ?? '', /Read-only file system/);
    // The workspace may belong to another user of the host.
    assert.match(lines[2] ?? '', /not a git repository/);
    assert.deepEqual(lines.slice(3, 8), ['hay', '42', 'b', 'curl', '1'], tried);
    assert.match(lines.slice(8).join(' '), /^UnZip.?less$/, tried);
    const absent = await inside(minimal, 'for tool in git python3 rg jq curl; do command -v $tool || echo no $tool; done');
    assert.deepEqual(absent.trim().split('\n'), ['no git', 'no python3', 'no rg', 'no jq', 'no curl']);
  });

  it('have labels that say what they are, and nothing of who built them', async (t) => {
    if (skip !== false) return t.skip(skip);
    for (const image of [server, standard]) {
      const labels = await docker('image', 'inspect', '--format', '{{json .Config.Labels}}', image);
      for (const label of ['title', 'description', 'licenses', 'version'])
        assert.match(labels, new RegExp(`org\\.opencontainers\\.image\\.${label}"`), image);
    }
  });

  it('start a server that is healthy and stays so; one that ends is told with its code and last lines', async (t) => {
    if (skip !== false) return t.skip(skip);
    await smokeImage(server);
    await assert.rejects(
      smokeImage(server, { env: { PORT: 'many' } }),
      (error) => error instanceof Error && /ended with code [1-9][\s\S]*PORT/.test(error.message),
    );
  });
});
