// Starts the server's image as it is meant to run, hardened and read-only, and waits until it is healthy and stays up:
// `node scripts/image-smoke.ts [image]`. Fails when the container ends or does not become healthy, with its last lines.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SERVER_IMAGE_TAG } from '../packages/server/src/runtime/image.ts';

const run = promisify(execFile);
const POLL_MS = 250;
/** A program that fails on something it does late is not up because it answered once. */
const STAYS_MS = 3000;

interface State {
  readonly Status: string;
  readonly ExitCode: number;
  readonly Health?: { readonly Status: string; readonly Log?: readonly { readonly Output: string }[] | null };
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly healthInterval?: string;
}

/** Throws when the image does not come up and stay so. */
export async function smokeImage(image: string, options: RunOptions = {}): Promise<void> {
  await withHealthyServer(image, options, async (id) => {
    await new Promise((resolve) => setTimeout(resolve, STAYS_MS));
    const { Status, Health } = await stateOf(id);
    if (Status !== 'running' || Health?.Status !== 'healthy') throw await failure(id, `was healthy, and then ${Health?.Status ?? Status}`);
  });
}

/** Acts on a container of the image once it is healthy, and removes it. The runtime is the fake one, so that no engine is needed inside. */
export async function withHealthyServer<T>(
  image: string,
  { env = {}, timeoutMs = 120_000, healthInterval = '1s' }: RunOptions,
  act: (id: string) => Promise<T>,
): Promise<T> {
  const settings = { CLOISTER_RUNTIME: 'fake', ...env };
  const asMeant = '--init --read-only --cap-drop ALL --security-opt no-new-privileges:true --volume /data --tmpfs /tmp --network none';
  const limits = `--memory 512m --pids-limit 256 --health-interval ${healthInterval}`;
  const variables = Object.entries(settings).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  const { stdout } = await run('docker', ['run', '--detach', ...`${asMeant} ${limits}`.split(' '), ...variables, image]);
  const id = stdout.trim();
  try {
    await untilHealthy(id, timeoutMs);
    return await act(id);
  } finally {
    await run('docker', ['rm', '--force', '--volumes', id]);
  }
}

async function untilHealthy(id: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const { Status, ExitCode, Health } = await stateOf(id);
    if (Health?.Status === 'healthy') return;
    if (Status === 'exited' || Status === 'dead') throw await failure(id, `ended with code ${ExitCode}`);
    if (Health?.Status === 'unhealthy' || performance.now() > deadline)
      throw await failure(id, `does not become healthy: ${Health?.Status ?? 'no health check'}, ${Health?.Log?.at(-1)?.Output ?? ''}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function stateOf(id: string): Promise<State> {
  return JSON.parse((await run('docker', ['inspect', '--format', '{{json .State}}', id])).stdout);
}

async function failure(id: string, what: string): Promise<Error> {
  const { stdout, stderr } = await run('docker', ['logs', '--tail', '20', id]);
  return new Error(`The container ${what}.\n${stdout}${stderr}`);
}

if (import.meta.main) {
  const image = process.argv[2] ?? SERVER_IMAGE_TAG;
  await smokeImage(image);
  console.log(`${image} came up healthy and stayed so.`);
}
