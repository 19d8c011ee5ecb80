import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { isPlatformError } from '../base/errors.ts';
import { openRoot } from './held-directory.ts';
import { packTree } from './pack.ts';
import { readBytes } from './read-bytes.ts';
import { createSafeTree } from './safe-tree.ts';

/** Puts a directory and a link to the outside in each other's place until told to stop, and at least so often. */
const SWAPPER = `
const fs = require('node:fs');
const [, workspace, outside, least] = process.argv;
process.chdir(workspace);
fs.symlinkSync(outside, 'link');
let swaps = 0, asides = 0, isLink = false, stop = false;
process.stdin.on('data', () => { stop = true; });
process.stdin.on('end', () => { stop = true; });
const put = (name) => { try { fs.renameSync(name, 'd'); return true; } catch { return false; } };
const swap = () => {
  const [away, back] = isLink ? ['link', 'real'] : ['real', 'link'];
  fs.renameSync('d', away);
  while (!put(back)) {
    // Who writes below a name that is gone for a moment makes the directory anew.
    fs.renameSync('d', '../aside-' + asides++);
  }
  isLink = !isLink;
  swaps++;
};
// An odd number, so that either side is what stands while the process waits for its turn.
const turn = () => {
  for (let i = 0; i < 51; i++) swap();
  if (stop && swaps >= Number(least)) { process.stdout.write(String(swaps)); process.exit(0); }
  setImmediate(turn);
};
process.stdout.write('up ');
turn();
`;

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return chunks;
}

const SWAPS = 10_000;
const ROUNDS = 200;

describe('files beside somebody who swaps directories for links', { skip: process.platform === 'linux' ? false : 'Linux only' }, () => {
  it('never reads, writes or removes anything outside', { timeout: 120_000 }, async () => {
    const base = mkdtempSync(path.join(os.tmpdir(), 'cloister-race-'));
    const [workspace, outside] = [path.join(base, 'workspace'), path.join(base, 'outside')];
    mkdirSync(path.join(workspace, 'd'), { recursive: true });
    mkdirSync(path.join(outside, 'sub'), { recursive: true });
    for (const file of ['secret', 'sub/secret']) writeFileSync(path.join(outside, file), 'CANARY');
    writeFileSync(path.join(workspace, 'd', 'secret'), 'inside');
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const tree = createSafeTree({ root: workspace, staging: path.join(base, 'staging'), owner });
    const child = spawn(process.execPath, ['-e', SWAPPER, workspace, outside, String(SWAPS)], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exit = once(child, 'exit');
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    try {
      await once(child.stdout, 'data');
      // Without care the race is lost at once: this is what the rest withstands.
      let naive = '';
      for (const end = performance.now() + 30_000; naive !== 'CANARY' && performance.now() < end; )
        naive = await readFile(path.join(workspace, 'd', 'secret'), 'utf8').catch(() => '');
      assert.equal(naive, 'CANARY');

      const outcomes = new Map<string, number>();
      const attempt = async (name: string, run: () => Promise<string>) => {
        let outcome: string;
        try {
          outcome = await run();
        } catch (error) {
          if (!isPlatformError(error)) throw error;
          outcome = error.code;
        }
        const key = `${name}: ${outcome}`;
        outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
      };
      const read = async () => {
        await using file = await tree.openFile(['d', 'secret']);
        const chunks: Uint8Array[] = await collect(readBytes(file.handle, { start: 0, length: file.stats.size }));
        return Buffer.concat(chunks).toString();
      };
      const write = async (name: string) => {
        await tree.write(
          ['d', name],
          (async function* () {
            yield Buffer.from('inside');
          })(),
          { maxBytes: 100 },
        );
        return 'done';
      };
      const list = async () => ((await tree.list(['d'], { limit: 10 })).entries.some(({ name }) => name === 'sub') ? 'CANARY' : 'done');
      const pack = async () => {
        await using root = await openRoot(workspace);
        const chunks: Uint8Array[] = await collect(packTree(root, owner));
        return Buffer.concat(chunks).includes('CANARY') ? 'CANARY' : 'done';
      };
      const remove = async (name: string[]) => {
        await tree.remove(name, { isRecursive: true });
        return 'done';
      };
      const sides = ['read: inside', 'write: done', 'remove: done'];
      const met = () =>
        sides.every((one) => outcomes.has(one)) && (outcomes.has('read: file_not_found') || outcomes.has('read: file_refused'));
      const deadline = performance.now() + 60_000;
      for (let round = 0; round < ROUNDS || (!met() && performance.now() < deadline); round++) {
        await Promise.all([
          attempt('read', read),
          attempt('write', () => write(`f${round % 7}`)),
          attempt('secret', () => write('secret')),
          attempt('list', list),
          attempt('make', async () => (await tree.makeDirectory(['d', `m${round % 5}`])).kind),
          attempt('remove', () => remove(['d', `f${(round + 3) % 7}`])),
          attempt('remove tree', () => remove(['d', `m${(round + 2) % 5}`])),
          attempt('pack', pack),
          ...(round % 20 === 0 ? [attempt('remove all', () => remove(['d', 'sub']))] : []),
        ]);
      }
      child.stdin.end('stop');
      await exit;
      assert.ok(Number(said.split(' ')[1]) >= SWAPS, said);
      const seen = [...outcomes.keys()];
      assert.deepEqual(
        seen.filter((one) => one.endsWith('CANARY')),
        [],
      );
      // Both sides of the swap were met, else nothing was shown.
      assert.ok(met(), seen.join(', '));
      assert.deepEqual(readdirSync(outside, { recursive: true, encoding: 'utf8' }).sort(), ['secret', 'sub', 'sub/secret']);
      for (const file of ['secret', 'sub/secret']) assert.equal(readFileSync(path.join(outside, file), 'utf8'), 'CANARY');
    } finally {
      child.kill('SIGKILL');
      rmSync(base, { recursive: true, force: true });
    }
  });
});
