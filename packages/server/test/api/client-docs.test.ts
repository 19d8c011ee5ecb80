// What docs/client.md and the README show is run as it stands, and has to print what they say it prints.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { startTestServer, type TestServer } from '../support/server.ts';

const ROOT = path.join(import.meta.dirname, '../../../..');
const RUN_MS = 60_000;
const run = promisify(execFile);

interface Example {
  readonly title: string;
  readonly source: string;
  /** Lines, of which `…` stands for any; undefined where the page does not say. */
  readonly prints: readonly string[] | undefined;
}

/** Every ```ts of a page under its heading, with the ```text that says what it prints. */
async function examplesOf(page: string): Promise<readonly Example[]> {
  const markdown = await readFile(path.join(ROOT, page), 'utf8');
  const found: Example[] = [];
  for (const section of markdown.split(/^## /m)) {
    const title = section.split('\n', 1)[0] ?? '';
    for (const [, source = '', prints] of section.matchAll(/^```ts\n(.*?)^```\n(?:\nprints\n\n```text\n(.*?)^```$)?/gms))
      found.push({ title: `${page}: ${title}`, source, prints: prints?.trimEnd().split('\n') });
  }
  return found;
}

interface Relay extends AsyncDisposable {
  readonly url: string;
  readonly cuts: number;
}

/** The server over a connection that breaks in the midst of every stream's first answers, but lets later ones through. */
async function breakingRelay(to: string): Promise<Relay> {
  const target = new URL(to);
  const sockets = new Set<net.Socket>();
  let cuts = 0;
  const server = net.createServer((near) => {
    const far = net.connect(Number(target.port), target.hostname);
    let isDoomed = false;
    near.on('data', (bytes) => {
      isDoomed ||= /GET \S+\/events\/stream\?after=0\b/.test(bytes.toString('latin1'));
      far.write(bytes);
    });
    far.on('data', (bytes) => {
      // One event is told whole, and the next is torn.
      const at = isDoomed ? bytes.indexOf('event: session.status_running') : -1;
      if (at === -1) return void near.write(bytes);
      cuts++;
      near.write(bytes.subarray(0, at + 10), () => near.destroy());
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one
        .on('error', () => other.destroy())
        .on('close', () => {
          sockets.delete(one);
          other.destroy();
        });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    url: `http://127.0.0.1:${address.port}`,
    get cuts() {
      return cuts;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

const pages = await Promise.all(['docs/client.md', 'README.md'].map(examplesOf));

describe('what the documents show of the clients', { timeout: 300_000 }, () => {
  let server: TestServer;
  let relay: Relay;
  let folder: string;

  before(async () => {
    server = await startTestServer();
    relay = await breakingRelay(server.url);
    folder = await mkdtemp(path.join(os.tmpdir(), 'cloister-examples-'));
    await symlink(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
    await mkdir(path.join(folder, 'data'));
    await writeFile(path.join(folder, 'data/admin.key'), `${server.key}\n`);
    await writeFile(path.join(folder, 'package.json'), '{"type":"module"}');
  });
  after(async () => {
    await relay?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it('is there', () =>
    assert.deepEqual(
      pages.map((page) => page.length > 0),
      [true, true],
    ));

  for (const [index, { title, source, prints }] of pages.flat().entries())
    it(title, async () => {
      const file = path.join(folder, `example-${index}.ts`);
      await writeFile(file, here(source, relay.url));
      const env = { PATH: process.env.PATH, CLOISTER_URL: relay.url, CLOISTER_API_KEY: server.key, NO_COLOR: '1' };
      const { stdout } = await run(process.execPath, [file], { cwd: folder, env, timeout: RUN_MS });
      assert.notEqual(stdout, '');
      if (prints !== undefined) assert.match(stdout.trimEnd(), expected(prints));
    });

  it('has types that the compiler agrees with', async () => {
    const settings = {
      extends: path.join(ROOT, 'tsconfig.json'),
      compilerOptions: { typeRoots: [path.join(ROOT, 'node_modules/@types')] },
      include: ['example-*.ts'],
    };
    await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify(settings));
    await run(process.execPath, [path.join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], { timeout: 2 * RUN_MS }).catch(
      (error: { readonly stdout?: string; readonly message: string }) => assert.fail(error.stdout ?? error.message),
    );
  });

  it('was tried over a connection that was lost', () => assert.ok(relay.cuts >= 2, `it was cut ${relay.cuts} times`));
});

/** At this server's address, and in the words of the fake runtime's agent instead of the demo model's. */
function here(source: string, url: string): string {
  return source
    .replaceAll('http://127.0.0.1:3000', url)
    .replaceAll(/'run ((?:echo|uname) [^']+)'/g, (_, command: string) => `'[[tool bash ${JSON.stringify({ command })}]]'`);
}

function expected(lines: readonly string[]): RegExp {
  const escaped = lines.map((line) => (line === '…' ? '[^]*' : line.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')));
  return new RegExp(`^${escaped.join('\n')}$`);
}
