import { delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { ExecCommand, SandboxProcess, SandboxRef } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { SIGKILL_CODE } from './exit-report.ts';
import { unexpectedAnswer } from './failures.ts';
import { isRefusal } from './quirks.ts';
import { splitHijacked } from './streams.ts';
import type { EngineAnswer } from './transport.ts';
import { parseExec, parseId } from './wire.ts';

const FIRST_POLL_MS = 5;
const LONGEST_POLL_MS = 500;

export async function execInContainer(
  docker: DockerContext,
  ref: SandboxRef,
  request: { readonly command: ExecCommand; readonly signal: AbortSignal | undefined },
): Promise<SandboxProcess> {
  const { command, signal } = request;
  const json = {
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    Cmd: command.argv,
    Env: Object.entries(command.env ?? {}).map(([name, value]) => `${name}=${value}`),
    ...(command.cwd === undefined ? {} : { WorkingDir: command.cwd }),
  };
  const answer = await docker.engine.call({ method: 'POST', path: `/containers/${ref.handle}/exec`, json, signal });
  if (answer.status !== 201) throw await execFailure(docker, ref, answer);
  const id = parseId(answer.body);
  const start = { Detach: false, Tty: false };
  const connection = await docker.engine.hijack({ method: 'POST', path: `/exec/${id}/start`, json: start, signal });
  if (connection.type === 'refused') throw await execFailure(docker, ref, { ...connection, body: undefined });
  const { ended, ...streams } = splitHijacked(connection, docker.log);
  return { ...streams, exited: ended.then(() => exitOfExec(docker, id)) };
}

async function execFailure(docker: DockerContext, ref: SandboxRef, answer: EngineAnswer): Promise<PlatformError> {
  const { quirks } = await docker.engine.address();
  if (!isRefusal(quirks.notRunning, answer)) return unexpectedAnswer('run a command in a sandbox', answer);
  return new PlatformError('sandbox_exited', { detail: `The sandbox ${ref.sandbox} is not running.`, cause: new Error(answer.message) });
}

/** The outputs close a moment before the engine knows the exit code, or long before when the command closed them itself. */
async function exitOfExec(docker: DockerContext, id: string): Promise<{ exitCode: number }> {
  for (let waitMs = FIRST_POLL_MS; !docker.closing.aborted; waitMs = Math.min(waitMs * 2, LONGEST_POLL_MS)) {
    const exitCode = await askExit(docker, id);
    if (exitCode !== undefined) return { exitCode };
    await delay(docker.clock, waitMs);
  }
  return { exitCode: SIGKILL_CODE };
}

async function askExit(docker: DockerContext, id: string): Promise<number | undefined> {
  try {
    const answer = await docker.engine.call({ method: 'GET', path: `/exec/${id}/json` });
    // Gone with its container, which took the command along.
    if (answer.status === 404) return SIGKILL_CODE;
    const code = parseExec(answer.body);
    return code === null ? SIGKILL_CODE : code;
  } catch (error) {
    docker.log.debug({ err: error }, 'the end of a command is not known yet');
    return undefined;
  }
}
