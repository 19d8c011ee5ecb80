import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { pbkdf2 } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, afterEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/log.ts';
import { collect, sandboxLabels, waitFor } from '../conformance/bench.ts';
import { isProblem } from '../conformance/lifecycle.ts';
import type { ExitReport, RuntimeDriver, SandboxSpec } from '../driver.ts';
import { createBubblewrapDriver, thisHost } from './driver.ts';
import { findProcesses, signalProcess } from './processes.ts';
import { deniedCalls } from './seccomp.ts';
import { createStateDirectory } from './state.ts';
import { bubblewrapMissing, testDirectory } from './test-host.ts';

const directory = testDirectory();
after(() => directory.remove());
const stateDirectory = path.join(directory.path, 'state');
const skip = await bubblewrapMissing({ stateDirectory });
const INSTALLATION = 'walls';
const MIB = 1024 * 1024;

const driver: RuntimeDriver = createBubblewrapDriver({ stateDirectory, log: silentLogger });
after(() => driver.close());

function spec(argv: readonly string[], changes: Partial<SandboxSpec> = {}): SandboxSpec {
  const [uid, gid] = [process.getuid?.() || 1000, process.getgid?.() || 1000];
  const limits = { memoryBytes: 256 * MIB, cpus: 1, pids: 64, tmpBytes: 16 * MIB };
  return { labels: sandboxLabels(INSTALLATION), image: 'none', argv, env: {}, cwd: '/', uid, gid, mounts: [], ...limits, ...changes };
}

async function run(argv: readonly string[], changes?: Partial<SandboxSpec>) {
  const io = await driver.start(await driver.create(spec(argv, changes)));
  io.stdin.end();
  const [stdout, stderr, exit] = await Promise.all([collect(io.stdout), collect(io.stderr), io.exited]);
  return { stdout: stdout.toString(), stderr: stderr.toString(), exit };
}

/** Another process with a driver of its own on the same state: it starts one sandbox and says so. */
async function serverWith(argv: readonly string[], options: { readonly strayFd?: number } = {}): Promise<ChildProcess> {
  const program = `
    const { createBubblewrapDriver } = await import(${JSON.stringify(path.join(import.meta.dirname, 'driver.ts'))});
    const { silentLogger } = await import(${JSON.stringify(path.join(import.meta.dirname, '../../base/log.ts'))});
    const driver = createBubblewrapDriver({ stateDirectory: ${JSON.stringify(stateDirectory)}, log: silentLogger });
    const io = await driver.start(await driver.create(${JSON.stringify(spec(argv))}));
    io.stdout.pipe(process.stdout);
    io.stderr.resume();
    await io.exited;`;
  const stray = options.strayFd === undefined ? [] : [options.strayFd];
  return spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit', ...stray],
    env: { A_SECRET_OF_THE_SERVER: 'hush-hush' },
  });
}

describe('sandboxes of bubblewrap', { skip }, () => {
  afterEach(async () => {
    for (const { ref } of await driver.list({ installation: INSTALLATION })) await driver.remove(ref);
  });

  test('a program that is over before anybody looks loses nothing', async () => {
    const ref = await driver.create(spec(['sh', '-c', 'echo hello; echo warning >&2; exit 7']));
    const { stdout, stderr, exit } = await withSlowFiles(async () => {
      const io = await driver.start(ref);
      const [stdout, stderr, exit] = await Promise.all([text(io.stdout), text(io.stderr), io.exited]);
      return { stdout, stderr, exit };
    });
    assert.deepEqual([stdout, stderr, exit.exitCode], ['hello\n', 'warning\n', 7]);
    assert.match(await driver.logs(ref), /^(hello\nwarning|warning\nhello)\n$/);
  });

  test('the filter refuses every call on its list, and what is newer than the list', async () => {
    const script = `
      use Errno qw(EPERM ENOSYS); my ($list) = @ARGV;
      for (split /,/, $list) { my ($name, $number) = split /=/; my $r = syscall($number, 0, 0, 0, 0, 0, 0);
        print "$name " . ($r == -1 ? $! + 0 : "done") . "\\n"; }`;
    const calls = Object.entries({ ...deniedCalls(), clone3: 435, future: 463, getpid: process.arch === 'x64' ? 39 : 172 }).map(
      ([name, number]) => `${name}=${number}`,
    );
    const { stdout, stderr } = await run(['perl', '-e', script, calls.join(',')]);
    assert.equal(stderr, '');
    const outcomes = Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')),
    );
    assert.equal(outcomes.clone3, '38');
    assert.equal(outcomes.future, '38');
    assert.equal(outcomes.getpid, 'done');
    for (const name of Object.keys(deniedCalls())) assert.equal(outcomes[name], '1', name);
  });

  test('nothing of the host is seen but its programs', async () => {
    const script = `
      for place in /etc/shadow /root /proc/1/root/etc ${directory.path} ${import.meta.dirname} /var/log /boot /sys /proc/kcore; do
        ls "$place" >/dev/null 2>&1 && echo "sees $place"; done
      cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -v -E '^(PATH|HOME|PWD|OLDPWD)=|^$'
      ls /proc | grep -c '^[0-9]'; hostname`;
    const { stdout } = await run(['sh', '-c', script]);
    const [processes, hostname, ...others] = stdout.trim().split('\n');
    assert.deepEqual(others, []);
    assert.ok(Number(processes) <= 6, `only its own processes: ${stdout}`);
    assert.equal(hostname, 'sandbox');
  });

  test("neither a descriptor nor a variable of the server's own gets inside", async () => {
    const secret = path.join(directory.path, 'secret');
    await writeFile(secret, 'the secret');
    const fd = openSync(secret, 'r');
    const script =
      'for n in 3 4 5 6 7 8 9; do cat <&$n 2>/dev/null; done; readlink /proc/self/fd/*; cat /proc/[0-9]*/environ 2>/dev/null; echo done';
    const server = await serverWith(['bash', '-c', script], { strayFd: fd });
    const seen = await text(server.stdout ?? assert.fail());
    closeSync(fd);
    assert.match(seen, /done/);
    assert.doesNotMatch(seen, /secret|hush/);
    assert.doesNotMatch(seen, /state\//, 'no file of the driver either');
  });

  test("a program's variables reach nothing that runs before it", async () => {
    const { stderr, exit } = await run(['true'], { env: { LD_PRELOAD: '/workspace/mine.so', ENV: '/workspace/mine.sh' } });
    assert.equal(exit.exitCode, 0);
    assert.equal(stderr.match(/cannot be preloaded/g)?.length, 1, stderr);
  });

  test('what cannot be had is refused: a mount inside a directory of the agent, an OCI runtime, an agent that is not installed', async () => {
    const workspace = path.join(directory.path, 'workspace');
    await mkdir(workspace, { recursive: true });
    const mounts = [
      { hostPath: workspace, path: '/workspace', isReadOnly: false },
      { hostPath: workspace, path: '/workspace/inner', isReadOnly: true },
    ];
    await assert.rejects(driver.create(spec(['true'], { mounts })), isProblem('sandbox_start_failed'));
    await assert.rejects(driver.create(spec(['true'], { runtimeClass: 'runsc' })), isProblem('sandbox_start_failed'));
    const other = createBubblewrapDriver({ stateDirectory, log: silentLogger, programs: { '/opt/agent': '/no/such/agent' } });
    await assert.rejects(other.create(spec(['node', '/opt/agent/main.js'])), isProblem('image_missing'));
    await other.close();
    assert.deepEqual(await driver.list({ installation: INSTALLATION }), []);
  });

  test('a sandbox outlives its server, is found, and goes whole', async () => {
    const server = await serverWith(['sh', '-c', 'trap "" TERM PIPE; sleep 3600 & echo up; while :; do sleep 0.2; done']);
    await once(server.stdout ?? assert.fail(), 'data');
    server.kill('SIGKILL');
    await once(server, 'exit');
    const [orphan] = await driver.list({ installation: INSTALLATION });
    assert.equal(orphan?.state, 'running');
    await driver.remove(orphan.ref);
    assert.equal(await driver.inspect(orphan.ref), undefined);
    for (const tree of ['/sys/fs/cgroup/pids', '/sys/fs/cgroup'])
      assert.equal(existsSync(path.join(tree, 'cloister', orphan.ref.handle)), false, 'its control groups are gone');
  });

  test('how a sandbox ended is known although its server was dead', async () => {
    const server = await serverWith(['sh', '-c', 'echo up; cat; sleep 0.3; exit 7']);
    await once(server.stdout ?? assert.fail(), 'data');
    server.kill('SIGKILL');
    const seen = await waitFor(
      async () => (await driver.list({ installation: INSTALLATION }))[0],
      (found) => found?.state === 'exited',
    );
    assert.deepEqual(seen?.exit, { exitCode: 7, signal: null, isOutOfMemory: false });
  });

  test('a supervisor that is killed takes the sandbox along, and that is told', async () => {
    const giveUp = new AbortController();
    const told: ExitReport[] = [];
    const watching = driver.watch({ installation: INSTALLATION }, ({ report }) => told.push(report), { signal: giveUp.signal });
    const io = await driver.start(await driver.create(spec(['sh', '-c', 'echo $PPID; exec sleep 3600'])));
    const [seen] = await driver.list({ installation: INSTALLATION });
    const supervisor = await supervisorOf(seen?.ref.handle ?? '');
    assert.ok(signalProcess(supervisor, 'SIGKILL'));
    const killed: ExitReport = { exitCode: null, signal: 'SIGKILL', isOutOfMemory: false };
    assert.deepEqual(await io.exited, killed);
    await waitFor(
      () => told.length,
      (count) => count === 1,
    );
    assert.deepEqual(told, [killed]);
    giveUp.abort();
    await watching;
  });

  test('the suite fails a driver that ignores limits', async () => {
    const suite = path.join(import.meta.dirname, 'unlimited-suite.ts');
    const child = spawn(
      process.execPath,
      ['--test-reporter=tap', '--test-name-pattern=bites', suite, path.join(directory.path, 'unlimited')],
      {
        env: {},
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    assert.equal(code, 1, output);
    // On a busy machine nobody gets a whole CPU, so the law on that one may hold by accident.
    for (const law of ['the memory limit bites', 'the limit on processes bites']) assert.match(output, new RegExp(`not ok \\d+ - ${law}`));
  });
});

async function supervisorOf(handle: string): Promise<number> {
  const found = await findProcesses({ state: createStateDirectory(path.join(stateDirectory, thisHost()), systemClock) }, handle);
  return found?.supervisor ?? assert.fail('it runs');
}

/** Each step with a file waits for one of Node's threads, all of which are busy. */
async function withSlowFiles<T>(work: () => Promise<T>): Promise<T> {
  const THREADS = 4;
  let isOver = false;
  const busy = Array.from({ length: THREADS }, async () => {
    while (!isOver) await promisify(pbkdf2)('any', 'salt', 100_000, 64, 'sha512');
  });
  try {
    return await work();
  } finally {
    isOver = true;
    await Promise.all(busy);
  }
}
