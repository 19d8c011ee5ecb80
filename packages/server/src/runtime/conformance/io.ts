import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { ExitReport } from '../driver.ts';
import { collect, type Law, waitFor, waitForText } from './bench.ts';
import { isProblem } from './lifecycle.ts';
import { EMIT_PATTERN } from './scenarios.ts';

const MANY_BYTES = 10 * 1024 * 1024;

export function streamLaws(law: Law): void {
  law('nothing is lost at the first byte, and the outputs stay apart', async ({ spec, run }) => {
    const { stdout, stderr, exit } = await run(spec({ name: 'hello' }));
    assert.equal(stdout.toString(), 'hello\n');
    assert.equal(stderr.toString(), 'warning\n');
    assert.deepEqual(exit, { exitCode: 0, signal: null, isOutOfMemory: false });
  });
  law('the program gets its arguments, environment and directory as they are', async ({ spec, run }) => {
    const args = ['two words', '$HOME', '"quoted"', 'a\nb', '', '😀', '*'];
    const value = 'x=1 $PATH "q"\nsecond';
    const { stdout } = await run(spec({ name: 'report', args }, { env: { CONFORMANCE: value }, cwd: '/tmp' }));
    assert.deepEqual(JSON.parse(stdout.toString()), { args, value, cwd: '/tmp' });
  });
  law('10 MB of stdout arrive whole', async ({ spec, run }) => {
    const { stdout } = await run(spec({ name: 'emit', bytes: MANY_BYTES }));
    assert.equal(stdout.length, MANY_BYTES);
    assert.equal(sha256(stdout), sha256(Buffer.alloc(MANY_BYTES, EMIT_PATTERN)));
  });
  law('bytes written one by one come back unchanged', async ({ spec, launch }) => {
    const { io } = await launch(spec({ name: 'cat' }));
    const text = Buffer.from('é😀€\u0000\r\n'.repeat(3));
    for (const byte of text) io.stdin.write(Buffer.of(byte));
    io.stdin.end();
    assert.deepEqual(await collect(io.stdout), text);
  });
  law('much input comes back whole, and the end of input ends the program', async ({ spec, run }) => {
    const input = Buffer.alloc(2 * 1024 * 1024, EMIT_PATTERN);
    const { stdout, exit } = await run(spec({ name: 'cat' }), input);
    assert.equal(sha256(stdout), sha256(input));
    assert.equal(exit.exitCode, 0);
  });
  law('input written after the end of the program harms nobody', async ({ spec, launch }) => {
    const { io } = await launch(spec({ name: 'hello' }));
    await Promise.all([collect(io.stdout), collect(io.stderr), io.exited]);
    io.stdin.write('too late\n');
    io.stdin.end();
  });
}

export function exitLaws(law: Law): void {
  law('the exit report tells code and signal apart', async ({ spec, run }) => {
    const exitOf = async (...what: Parameters<typeof spec>): Promise<ExitReport> => (await run(spec(...what))).exit;
    assert.deepEqual(await exitOf({ name: 'exit', code: 3 }), { exitCode: 3, signal: null, isOutOfMemory: false });
    assert.deepEqual(await exitOf({ name: 'kill-self' }), { exitCode: null, signal: 'SIGKILL', isOutOfMemory: false });
  });
  law('the exit report tells that memory ran out', async ({ spec, run }) => {
    const { exit } = await run(spec({ name: 'out-of-memory' }, { memoryBytes: 96 * 1024 * 1024 }));
    assert.deepEqual(exit, { exitCode: null, signal: 'SIGKILL', isOutOfMemory: true });
  });
  law('a program that cannot be found exits 127', async ({ spec, run }) => {
    const { exit, stderr } = await run(spec({ name: 'missing' }));
    assert.equal(exit.exitCode, 127);
    assert.notEqual(stderr.length, 0);
  });
  law('the log keeps the last lines of both outputs', async ({ driver, spec, launch }) => {
    const { ref, io } = await launch(spec({ name: 'hello' }));
    await Promise.all([collect(io.stdout), collect(io.stderr), io.exited]);
    const log = await waitFor(
      () => driver.logs(ref),
      (text) => text.includes('hello') && text.includes('warning'),
    );
    assert.equal(log.trim().split('\n').length, 2);
    assert.equal((await driver.logs(ref, { tailLines: 1 })).trim().split('\n').length, 1);
    await driver.remove(ref);
    assert.equal(await driver.logs(ref), '');
  });
}

export function execLaws(law: Law): void {
  law('exec runs a command with its own streams and exit code', async ({ driver, spec, launch, command }) => {
    const { ref } = await launch(spec({ name: 'hang' }, { env: { CONFORMANCE: 'outer' } }));
    const hello = await driver.exec(ref, { argv: command({ name: 'hello' }) });
    assert.deepEqual([(await collect(hello.stdout)).toString(), (await collect(hello.stderr)).toString()], ['hello\n', 'warning\n']);
    assert.deepEqual(await hello.exited, { exitCode: 0 });

    const cat = await driver.exec(ref, { argv: command({ name: 'cat' }) });
    cat.stdin.end('through');
    assert.equal((await collect(cat.stdout)).toString(), 'through');

    const exit = await driver.exec(ref, { argv: command({ name: 'exit', code: 42 }) });
    exit.stdout.resume();
    exit.stderr.resume();
    assert.deepEqual(await exit.exited, { exitCode: 42 });

    const report = await driver.exec(ref, { argv: command({ name: 'report', args: ['a b'] }), cwd: '/tmp' });
    assert.deepEqual(JSON.parse((await collect(report.stdout)).toString()), { args: ['a b'], cwd: '/tmp', value: 'outer' });
    const changed = await driver.exec(ref, { argv: command({ name: 'report', args: [] }), env: { CONFORMANCE: 'inner' } });
    assert.equal(JSON.parse((await collect(changed.stdout)).toString()).value, 'inner');
  });
  law('exec of a missing command exits 126 or 127', async ({ driver, spec, launch, command }) => {
    const { ref } = await launch(spec({ name: 'hang' }));
    const process = await driver.exec(ref, { argv: command({ name: 'missing' }) });
    process.stdout.resume();
    process.stderr.resume();
    assert.match(String((await process.exited).exitCode), /^12[67]$/);
  });
  law('a command goes with its sandbox', async ({ driver, spec, launch, command }) => {
    const { ref } = await launch(spec({ name: 'hang' }));
    const process = await driver.exec(ref, { argv: command({ name: 'stubborn' }) });
    await waitForText(process.stdout, 'ready');
    process.stderr.resume();
    await driver.remove(ref);
    assert.notEqual((await process.exited).exitCode, 0);
  });
  law('exec in what does not run is refused', async ({ driver, spec, command }) => {
    const ref = await driver.create(spec({ name: 'hang' }));
    const hello = { argv: command({ name: 'hello' }) };
    await assert.rejects(driver.exec(ref, hello), isProblem('sandbox_exited'));
    await driver.remove(ref);
    await assert.rejects(driver.exec(ref, hello), isProblem('sandbox_exited'));
  });
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
