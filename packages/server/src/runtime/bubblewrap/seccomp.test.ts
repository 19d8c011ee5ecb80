import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deniedCalls, seccompFilter } from './seccomp.ts';

const ALLOW = 0x7fff0000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const KILL = 0x80000000;

/** The little of the kernel's machine that the filter uses. */
function evaluate(
  filter: Buffer,
  call: { readonly arch: number; readonly number: number; readonly arguments?: readonly number[] },
): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.number, 0);
  data.writeUInt32LE(call.arch, 4);
  for (const [index, value] of (call.arguments ?? []).entries()) data.writeUInt32LE(value, 16 + 8 * index);
  const tests: Readonly<Record<number, (a: number, b: number) => boolean>> = {
    21: (a, b) => a === b,
    37: (a, b) => a > b,
    69: (a, b) => (a & b) !== 0,
  };
  let held = 0;
  for (let at = 0; at < filter.length; at += 8) {
    const [code, value] = [filter.readUInt16LE(at), filter.readUInt32LE(at + 4)];
    if (code === 0x06) return value;
    if (code === 0x20) held = data.readUInt32LE(value);
    else at += 8 * filter.readUInt8(at + (tests[code]?.(held, value) === true ? 2 : 3));
  }
  throw new Error('the filter ran off its end');
}

const MACHINES = [
  { name: 'x64', arch: 0xc000003e, other: 0x40000003, read: 0, clone: 56, ioctl: 16, socket: 41, mount: 165, unshare: 272, ptrace: 101 },
  { name: 'arm64', arch: 0xc00000b7, other: 0x40000028, read: 63, clone: 220, ioctl: 29, socket: 198, mount: 40, unshare: 97, ptrace: 117 },
] as const;

describe('the filter of system calls', () => {
  for (const machine of MACHINES) {
    test(`lets through and refuses what it should on ${machine.name}`, () => {
      const filter = seccompFilter(machine.name);
      assert.ok(filter !== undefined && filter.length / 8 < 4096, 'as the kernel takes it');
      const { arch } = machine;
      const outcome = (number: number, ...args: number[]) => evaluate(filter, { arch, number, arguments: args });
      assert.equal(outcome(machine.read), ALLOW);
      for (const name of ['mount', 'unshare', 'ptrace'] as const) assert.equal(outcome(machine[name]), EPERM, name);
      assert.equal(outcome(425), EPERM, 'io_uring');
      assert.equal(outcome(435), ENOSYS, 'clone3');
      assert.equal(outcome(463), ENOSYS, 'what came later');
      assert.equal(outcome(0x40000000), ENOSYS, 'the other numbers of 64-bit Intel');
      assert.equal(outcome(machine.clone, 0x11), ALLOW, 'a child');
      assert.equal(outcome(machine.clone, 0x003d0f00), ALLOW, 'a thread');
      for (const flag of [0x20000, 0x02000000, 0x10000000, 0x40000000]) assert.equal(outcome(machine.clone, flag | 0x11), EPERM);
      assert.equal(outcome(machine.ioctl, 0, 0x5412), EPERM, 'TIOCSTI');
      assert.equal(outcome(machine.ioctl, 0, 0x5401), ALLOW, 'TCGETS');
      assert.equal(outcome(machine.socket, 40), EPERM, 'AF_VSOCK');
      assert.equal(outcome(machine.socket, 1), ALLOW, 'AF_UNIX');
      assert.equal(evaluate(filter, { arch: machine.other, number: machine.read }), KILL, 'calls of another word size');
    });
  }
  test('knows the two machines alike, but for calls that one of them never had', () => {
    const [intel, arm] = [Object.keys(deniedCalls('x64')), Object.keys(deniedCalls('arm64'))];
    assert.deepEqual(
      arm.filter((name) => !intel.includes(name)),
      [],
    );
    const never = ['_sysctl', 'create_module', 'get_kernel_syms', 'ioperm', 'iopl', 'query_module', 'sysfs', 'uselib', 'ustat'];
    assert.deepEqual(new Set(intel.filter((name) => !arm.includes(name))), new Set(never));
    assert.equal(seccompFilter('mips'), undefined);
  });
});
