import { PlatformError } from '../../base/errors.ts';
import type { CallOptions, SandboxRef, SleepPower } from '../driver.ts';
import type { FakeEngine, FakeSandbox } from './engine.ts';

/** A fake sandbox at rest holds its pipes: its functions cannot be frozen, but nothing of them shows. */
export function sleepPower(engine: FakeEngine): SleepPower {
  function find(ref: SandboxRef, call: CallOptions | undefined): FakeSandbox {
    call?.signal?.throwIfAborted();
    const sandbox = engine.find(ref.handle);
    if (sandbox?.state === 'running' || sandbox?.state === 'paused') return sandbox;
    throw new PlatformError('sandbox_exited', { detail: `The sandbox ${ref.sandbox} is not running.` });
  }
  return {
    async pause(ref, call) {
      const sandbox = find(ref, call);
      if (sandbox.state === 'paused') return;
      sandbox.state = 'paused';
      hold(sandbox, true);
    },
    async resume(ref, call) {
      goOn(find(ref, call));
    },
    async reclaim(ref, call) {
      find(ref, call);
      return undefined;
    },
    async memory(ref, call) {
      find(ref, call);
      return undefined;
    },
  };
}

export function goOn(sandbox: FakeSandbox): void {
  if (sandbox.state !== 'paused') return;
  sandbox.state = 'running';
  hold(sandbox, false);
}

function hold(sandbox: FakeSandbox, isHeld: boolean): void {
  for (const process of [sandbox.main, ...sandbox.execs]) process?.hold(isHeld);
}
