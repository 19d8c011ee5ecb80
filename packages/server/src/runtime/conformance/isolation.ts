import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { SandboxSpec } from '../driver.ts';
import type { Bench, Law } from './bench.ts';
import { CHILD_OUT_OF_MEMORY } from './scenarios.ts';

const MIB = 1024 * 1024;

/** Each wall is tried from inside: what a driver asked its engine for proves nothing. */
export function wallLaws(law: Law): void {
  law('there is no network but the own loopback', async (bench) => {
    const script = `
      const net = require('node:net'); const dns = require('node:dns'); const os = require('node:os');
      const dial = (host) => new Promise((done) => { const s = net.connect({ host, port: 53, timeout: 3000 });
        s.on('connect', () => done('connected')); s.on('error', (e) => done(e.code)); s.on('timeout', () => done('timeout')); });
      const names = Object.keys(os.networkInterfaces());
      const server = net.createServer().listen(0, '127.0.0.1', async () => {
        const local = await new Promise((done) => net.connect(server.address().port, '127.0.0.1', () => done('connected')));
        const out = await Promise.all(['1.1.1.1', '172.17.0.1', '169.254.169.254'].map(dial));
        const name = await dns.promises.lookup('example.org').then(() => 'resolved', (e) => e.code);
        console.log(JSON.stringify({ names, local, out, name })); process.exit(0);
      });`;
    const seen = JSON.parse(await node(bench, script));
    assert.deepEqual(seen.names, ['lo']);
    assert.equal(seen.local, 'connected');
    assert.deepEqual(seen.out, ['ENETUNREACH', 'ENETUNREACH', 'ENETUNREACH']);
    assert.notEqual(seen.name, 'resolved');
  });
  law('the user is the wanted one, without any capability or a way to gain one', async (bench) => {
    const script =
      'id -u; id -g; grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status; unshare -r true 2>&1; mount -t tmpfs x /tmp 2>&1; echo done';
    const text = await shell(bench, script, { uid: 1234, gid: 4321 });
    assert.match(text, /^1234\n4321\n/);
    const caps = [...text.matchAll(/^Cap\w+:\s+(\w+)$/gm)].map(([, mask]) => mask);
    assert.ok(caps.length >= 5 && caps.every((mask) => /^0+$/.test(mask ?? '')), text);
    assert.match(text, /^NoNewPrivs:\s+1$/m);
    assert.match(text, /^Seccomp:\s+2$/m);
    assert.match(text, /unshare.*not permitted/);
    assert.match(text, /mount:.*(denied|must be superuser|not permitted)/);
  });
  law('the root is read-only and /tmp is writable up to its size', async (bench) => {
    const script = `
      for place in /x /etc/x /usr/x /var/tmp/x /home/x /opt/x; do touch $place 2>/dev/null && echo "wrote $place"; done
      printf '#!/bin/sh\necho ran\n' > /tmp/s && chmod +x /tmp/s && /tmp/s
      head -c 7M /dev/zero > /tmp/a && echo fits; head -c 2M /dev/zero > /tmp/b 2>/dev/null || echo full`;
    assert.equal(await shell(bench, script, { tmpBytes: 8 * MIB }), 'ran\nfits\nfull\n');
  });
  law('mounts lead to the host, and the read-only ones one way only', async (bench) => {
    const [open, closed] = [bench.directory(), bench.directory()];
    writeFileSync(path.join(closed, 'given'), 'from outside');
    const mounts = [
      { hostPath: open, path: '/workspace', isReadOnly: false },
      { hostPath: closed, path: '/given', isReadOnly: true },
    ];
    const script = 'cat /given/given; echo; touch /given/x 2>/dev/null && echo wrote; printf inside > /workspace/made; pwd';
    assert.equal(await shell(bench, script, { mounts, cwd: '/workspace' }), 'from outside\n/workspace\n');
    assert.equal(readFileSync(path.join(open, 'made'), 'utf8'), 'inside');
  });
}

export function limitLaws(law: Law): void {
  law('a child alone that is killed for memory is told too', async (bench) => {
    const { exit } = await bench.run(bench.spec({ argv: CHILD_OUT_OF_MEMORY }, { memoryBytes: 96 * MIB }));
    assert.deepEqual(exit, { exitCode: 0, signal: null, isOutOfMemory: true });
  });
  law('the memory limit bites, and counts /tmp', async (bench) => {
    const small = { memoryBytes: 96 * MIB };
    const killed = await bench.run(bench.spec({ name: 'out-of-memory' }, small));
    assert.equal(killed.exit.signal, 'SIGKILL');
    const filled = await bench.run(
      bench.spec({ argv: ['sh', '-c', 'head -c 200M /dev/zero > /tmp/a'] }, { ...small, tmpBytes: 400 * MIB }),
    );
    assert.equal(filled.exit.signal, 'SIGKILL');
  });
  law('the limit on processes bites', async (bench) => {
    const script = `
      const { spawn } = require('node:child_process'); let failed = 0; let open = 80;
      const over = () => { if (--open === 0) { console.log(failed); process.exit(0); } };
      for (let n = 0; n < 80; n += 1) { const c = spawn('sleep', ['2']); c.on('error', () => { failed += 1; over(); }); c.on('spawn', over); }`;
    assert.ok(Number(await node(bench, script, { pids: 40 })) >= 40);
    assert.equal(Number(await node(bench, script, { pids: 200 })), 0);
  });
  law('the CPU limit bites', async (bench) => {
    const script = `
      const elapsedMs = () => Number(process.hrtime.bigint() - begin) / 1e6;
      const begin = process.hrtime.bigint(); while (elapsedMs() < 1500);
      const { user, system } = process.cpuUsage(); console.log((user + system) / 1000 / elapsedMs());`;
    assert.ok(Number(await node(bench, script, { cpus: 0.25 })) < 0.5);
  });
  law('the program is not process 1, and orphans are reaped', async (bench) => {
    const script = `
      test $$ -ne 1 && echo child
      pid=$(sh -c 'sleep 0.1 >/dev/null & echo $!')
      for n in $(seq 100); do test -d /proc/$pid || break; sleep 0.05; done
      test -d /proc/$pid && echo left || echo reaped`;
    assert.equal(await shell(bench, script), 'child\nreaped\n');
  });
}

async function shell(bench: Bench, script: string, changes?: Partial<SandboxSpec>): Promise<string> {
  const { stdout } = await bench.run(bench.spec({ argv: ['sh', '-c', script] }, changes));
  return stdout.toString();
}

async function node(bench: Bench, script: string, changes?: Partial<SandboxSpec>): Promise<string> {
  const { stdout, stderr } = await bench.run(bench.spec({ argv: ['node', '-e', script] }, changes));
  assert.equal(stderr.toString(), '');
  return stdout.toString();
}
