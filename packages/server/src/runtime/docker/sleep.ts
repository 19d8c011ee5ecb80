import { PlatformError } from '../../base/errors.ts';
import { asJsonObject } from '../../base/json.ts';
import { type MemoryGroup, memoryGroup } from '../cgroup.ts';
import type { CallOptions, SandboxRef, SleepPower } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { unexpectedAnswer } from './failures.ts';
import { inspectContainer } from './inspect.ts';

/** Containers that are frozen by the engine. Their memory is the host's to give back, so that goes through its control groups. */
export function sleepPower(docker: DockerContext): SleepPower {
  return {
    pause: (ref, call) => change(docker, ref, { verb: 'pause', wanted: 'paused', ...call }),
    resume: (ref, call) => change(docker, ref, { verb: 'unpause', wanted: 'running', ...call }),
    reclaim: async (ref, call) => (await groupOf(docker, ref, call))?.reclaim(),
    memory: async (ref, call) => (await groupOf(docker, ref, call))?.usage(),
  };
}

interface Change extends CallOptions {
  readonly verb: 'pause' | 'unpause';
  readonly wanted: 'paused' | 'running';
}

/** An OCI runtime gives up freezing what makes processes faster than it stops them, and lets it go on. Another try most often succeeds. */
const FREEZE_TRIES = 3;

async function change(docker: DockerContext, ref: SandboxRef, { verb, wanted, signal }: Change): Promise<void> {
  for (let left = FREEZE_TRIES - 1; ; left -= 1) {
    const answer = await docker.engine.call({ method: 'POST', path: `/containers/${ref.handle}/${verb}`, signal });
    if (answer.status === 204 || answer.status === 200) return;
    // Engines differ in how they refuse what is so already, or does not run: what there is tells it.
    const status = (await inspectContainer(docker, ref.handle, signal))?.status;
    if (status === wanted) return;
    if (status !== 'running' && status !== 'paused') throw notRunning(ref, answer.message);
    if (left === 0 || !/unable to freeze/i.test(answer.message)) throw unexpectedAnswer(`${verb} a sandbox`, answer);
  }
}

async function groupOf(docker: DockerContext, ref: SandboxRef, call: CallOptions | undefined): Promise<MemoryGroup | undefined> {
  const answer = await docker.engine.call({ method: 'GET', path: `/containers/${ref.handle}/json`, signal: call?.signal });
  if (answer.status === 404) throw notRunning(ref, answer.message);
  if (answer.status !== 200) throw unexpectedAnswer('inspect a sandbox', answer);
  const { Id: id, State: state } = asJsonObject(answer.body);
  const { Pid: pid, Running: isRunning } = asJsonObject(state);
  if (isRunning !== true || typeof pid !== 'number' || typeof id !== 'string') throw notRunning(ref, 'the container does not run');
  return memoryGroup(pid, id);
}

function notRunning(ref: SandboxRef, words: string): PlatformError {
  return new PlatformError('sandbox_exited', { detail: `The sandbox ${ref.sandbox} is not running.`, cause: new Error(words) });
}
