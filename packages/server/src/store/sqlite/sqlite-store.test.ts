import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { text as readText } from 'node:stream/consumers';
import { after, afterEach, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { systemClock } from '../../base/clock.ts';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import {
  append,
  createSession,
  eventsOf,
  finish,
  lease,
  message,
  newEvent,
  queue,
  readLog,
  refuses,
  T0,
  TENANT,
} from '../conformance/kit.ts';
import { storeConformance } from '../conformance.ts';
import type { Store } from '../store.ts';
import { openSqliteStore } from './sqlite-store.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'cloister-store-'));
let files = 0;
const newFile = () => path.join(folder, String(files++), 'cloister.db');
const open = (file: string) => openSqliteStore({ file, clock: systemClock });

// What was just unmapped may be busy for a moment.
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));

storeConformance({ name: 'sqlite, in memory', createStore: () => open(':memory:') });
storeConformance({ name: 'sqlite, on disk', createStore: () => open(newFile()) });

const children = new Set<ReturnType<typeof startOwner>>();
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});

/** A process of its own that opens the file, says `open`, and then does what `work` says with `store`. */
function startOwner(file: string, work = '') {
  const url = (relative: string) => JSON.stringify(pathToFileURL(path.join(import.meta.dirname, relative)).href);
  const script = `
    import { openSqliteStore } from ${url('sqlite-store.ts')};
    import { systemClock } from ${url('../../base/clock.ts')};
    import * as kit from ${url('../conformance/kit.ts')};
    const store = await openSqliteStore({ file: ${JSON.stringify(file)}, clock: systemClock });
    console.log('open');
    setInterval(() => undefined, 1000);
    ${work}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  return child;
}

async function firstLine(child: ReturnType<typeof startOwner>): Promise<string> {
  for await (const line of createInterface({ input: child.stdout })) return line;
  return assert.fail(`the process ended without a word: ${await readText(child.stderr)}`);
}

describe('sqlite file', { timeout: 60_000 }, () => {
  test('what was written is there when it is opened again', async () => {
    const file = newFile();
    const store = await open(file);
    const installation = await store.installationId();
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const log = await readLog(store, id);
    await store.close();
    const again = await open(file);
    assert.equal(await again.installationId(), installation);
    assert.deepEqual(await readLog(again, id), log);
    assert.equal((await lease(again)).turn.id, turnId);
    await again.close();
  });

  test('only the owner may read the files', async () => {
    const file = newFile();
    const store = await open(file);
    for (const suffix of ['', '-wal', '-shm'])
      assert.equal(statSync(file + suffix).mode & 0o077, 0, `the file ${suffix} is open to others`);
    await store.close();
  });

  test('a file that is no database is left as it is', async () => {
    const file = newFile();
    mkdirSync(path.dirname(file));
    const notes = 'not a database, but somebody’s notes'.repeat(100);
    writeFileSync(file, notes);
    await refuses(open(file), 'store_unavailable');
    assert.equal(readFileSync(file, 'utf8'), notes);
    rmSync(file);
    await (await open(file)).close();
  });

  test('a network file system is refused before anything is made there', async () => {
    for (const type of [0x6969, 0xff534d42, 0xff534d42 - 2 ** 32, 0x01021997, 0x65735546]) {
      const file = newFile();
      await refuses(openSqliteStore({ file, clock: systemClock, fileSystemType: async () => type }), 'store_filesystem_unsafe');
      assert.equal(statSync(file, { throwIfNoEntry: false }), undefined);
      assert.equal(statSync(`${file}.lock`, { throwIfNoEntry: false }), undefined);
    }
    const store = await openSqliteStore({ file: newFile(), clock: systemClock, fileSystemType: async () => 0xef53 });
    await store.close();
  });
});

describe('one owner', { timeout: 60_000 }, () => {
  /** Opens what is owned already; the answer is what the person at the other end reads. */
  async function refusal(file: string): Promise<string> {
    const error: unknown = await open(file).then(
      () => assert.fail('it was opened twice'),
      (reason: unknown) => reason,
    );
    assert.ok(isPlatformError(error, 'store_locked'), String(error));
    return error.detail;
  }

  test('a second open in the same process is refused, by whatever way it comes', async () => {
    const file = newFile();
    const store = await open(file);
    const alias = path.join(folder, 'alias.db');
    symlinkSync(file, alias);
    for (const way of [file, alias]) {
      const detail = await refusal(way);
      assert.ok(detail.includes(file) && detail.includes(String(process.pid)), detail);
    }
    await queue(store, (await createSession(store)).id);
    const other = startOwner(file);
    assert.match(await readText(other.stderr), /store_locked/, 'the refused opens have not let go of the lock');
    await store.close();
    await (await open(file)).close();
  });

  test('another process is refused while the owner lives, however it dies', async () => {
    const file = newFile();
    const owner = startOwner(file);
    assert.equal(await firstLine(owner), 'open');
    const detail = await refusal(file);
    assert.ok(detail.includes(file) && detail.includes(String(owner.pid)), detail);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    await (await open(file)).close();
  });
});

describe('crash', { timeout: 60_000 }, () => {
  /** Accepts and runs turns from many sides at once and says, line by line, what it was promised. */
  const LOAD = `
    const say = (line) => process.stdout.write(JSON.stringify(line) + '\\n');
    const sessions = await Promise.all(Array.from({ length: 8 }, () => kit.createSession(store)));
    const accepting = async (index) => {
      for (;;) {
        const input = kit.message();
        const { events } = await store.turns.accept({ tenantId: kit.TENANT, sessionId: sessions[index % 8].id, events: [input], maxQueuedPerSession: 1e6, now: kit.T0 });
        say({ sessionId: sessions[index % 8].id, turnId: input.effect.turnId, eventId: events[0].id });
      }
    };
    const running = async () => {
      for (;;) {
        const leased = await kit.lease(store).catch(() => undefined);
        if (leased === undefined) continue;
        await kit.append(store, leased, { events: [kit.newEvent('agent.message')] });
        await kit.finish(store, leased);
        say({ ended: leased.turn.id });
      }
    };
    for (let index = 0; index < 16; index++) void accepting(index);
    for (let index = 0; index < 4; index++) void running();`;

  interface Promised {
    readonly accepted: readonly { readonly sessionId: string; readonly turnId: string; readonly eventId: string }[];
    readonly ended: readonly string[];
  }

  async function crashAfter(file: string, lines: number): Promise<Promised> {
    const child = startOwner(file, LOAD);
    const accepted = [];
    const ended = [];
    let count = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      if (line === 'open') continue;
      if (!line.endsWith('}')) break;
      const said = JSON.parse(line);
      if (typeof said.ended === 'string') ended.push(said.ended);
      else accepted.push(said);
      if (++count === lines) child.kill('SIGKILL');
    }
    return { accepted, ended };
  }

  async function hold(store: Store, { accepted, ended }: Promised): Promise<void> {
    for (const { sessionId, turnId, eventId } of accepted) {
      const turn = await store.turns.find({ tenantId: TENANT, id: turnId });
      assert.equal(turn?.eventId, eventId, 'an accepted message is lost');
      assert.ok(await store.events.find({ tenantId: TENANT, sessionId, id: eventId }), 'an accepted event is lost');
    }
    for (const id of ended) assert.equal((await store.turns.find({ tenantId: TENANT, id }))?.state, 'completed', 'an outcome is lost');
    for (const sessionId of new Set(accepted.map((each) => each.sessionId))) {
      const log = await readLog(store, sessionId);
      assert.deepEqual(
        log.map((event) => event.seq),
        log.map((_, index) => index + 1),
      );
      assert.equal((await store.sessions.find({ tenantId: TENANT, id: sessionId }))?.lastSeq, log.length);
    }
  }

  test('what was promised before a kill -9 is kept, and every turn still comes to its end', async () => {
    const file = newFile();
    for (const lines of [1, 60, 333]) {
      const promised = await crashAfter(file, lines);
      assert.ok(promised.accepted.length > 0);
      const store = await open(file);
      await hold(store, promised);
      const heir = { nodeId: 'nod_heir', leaseMs: 0, isSoleNode: true, held: [], now: T0 };
      for (let dead = await store.turns.takeOver(heir); dead !== undefined; dead = await store.turns.takeOver(heir)) {
        await finish(store, dead, { outcome: 'interrupted', stopReason: null });
      }
      for (let { queued } = await store.turns.counts(); queued > 0; queued--) await finish(store, await lease(store));
      assert.deepEqual(await store.turns.counts(), { queued: 0, running: 0, waitingApproval: 0 });
      await store.close();
    }
  });
});

describe('full disk', { timeout: 60_000 }, () => {
  const disk = path.join(folder, 'small-disk');
  const skip = mountSmallDisk(disk);
  after(() => {
    if (skip === false) spawnSync('/bin/umount', ['--lazy', disk]);
  });

  test('nothing is accepted while the disk is full, nothing is lost, and it goes on with the next free space', { skip }, async () => {
    const file = path.join(disk, 'cloister.db');
    const ballast = path.join(disk, 'ballast');
    const store = await open(file);
    const { id } = await createSession(store);
    const kept: string[] = [];
    const heard: string[] = [];
    store.events.onCommit((notices) => heard.push(...eventsOf(notices).map((event) => event.id)));
    writeFileSync(ballast, Buffer.alloc(1024 * 1024));
    const send = () =>
      store.turns.accept({ tenantId: TENANT, sessionId: id, events: [message('x'.repeat(20_000))], maxQueuedPerSession: 1e6, now: T0 });
    const failure = await fillUp(send, (eventId) => kept.push(eventId));
    assert.ok(isPlatformError(failure, 'disk_full'), String(failure));
    const before = (await readLog(store, id)).map((event) => event.id);
    assert.deepEqual(before, kept, 'what was refused is not there, what was accepted is');
    assert.deepEqual(heard, kept);
    const refused = await Promise.allSettled([send(), send(), createSession(store)]);
    assert.ok(refused.some((result) => result.status === 'rejected'));
    rmSync(ballast);
    await store.check({ now: T0 });
    const leased = await lease(store);
    await append(store, leased, { events: [newEvent('agent.message')] });
    await finish(store, leased);
    await store.close();
    const again = await open(file);
    const log = await readLog(again, id);
    assert.deepEqual(
      log.map((event) => event.seq),
      log.map((_, index) => index + 1),
    );
    assert.deepEqual(
      log.slice(0, kept.length).map((event) => event.id),
      kept,
    );
    await again.close();
  });
});

async function fillUp(send: () => ReturnType<Store['turns']['accept']>, onKept: (eventId: string) => void): Promise<unknown> {
  for (let count = 0; count < 10_000; count++) {
    try {
      const { events } = await send();
      for (const event of events) onKept(event.id);
    } catch (error) {
      return error;
    }
  }
  return new PlatformError('bug', { detail: 'the disk never got full' });
}

/** Mounts a few megabytes of memory as a disk; the answer is why that cannot be done here, or false. */
function mountSmallDisk(target: string): string | false {
  mkdirSync(target);
  const { status, error, stderr } = spawnSync('/bin/mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', target], { encoding: 'utf8' });
  if (status === 0) return false;
  return `a small disk cannot be mounted here: ${(error?.message ?? stderr).trim()}`;
}
