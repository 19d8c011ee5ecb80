// What images weigh, and what the server takes when it does nothing, asked of the container engine.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip } from 'node:zlib';
import { withHealthyServer } from './image-smoke.ts';

const run = promisify(execFile);
const KIB = 1024;
/** What a start leaves behind is collected by then. */
const IDLE_MS = 60_000;

/** Uncompressed; undefined when the engine has no such image. */
export function imageBytes(tag: string): number | undefined {
  const { status, stdout } = spawnSync('docker', ['image', 'inspect', '--format', '{{.Size}}', tag], { encoding: 'utf8' });
  return status === 0 ? Number(stdout) : undefined;
}

/** As a registry sends it, within some kilobytes: what `docker save` writes, by `gzip`. */
export async function compressedBytes(tag: string): Promise<number> {
  const save = spawn('docker', ['save', tag], { stdio: ['ignore', 'pipe', 'inherit'] });
  let bytes = 0;
  await pipeline(save.stdout, createGzip(), async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) bytes += chunk.length;
  });
  return bytes;
}

/** Of the server in its image, a minute after it became healthy, with nothing to do but answer its health check. */
export async function idleMemory(image: string): Promise<{ readonly residentBytes: number; readonly countedByEngine: string }> {
  return withHealthyServer(image, { healthInterval: '10s' }, async (id) => {
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const { stdout: resident } = await run('docker', ['exec', id, 'node', '-p', READ_RESIDENT_KIB]);
    const { stdout: counted } = await run('docker', ['stats', '--no-stream', '--format', '{{.MemUsage}}', id]);
    return { residentBytes: Number(resident) * KIB, countedByEngine: counted.split('/')[0]?.trim() ?? '' };
  });
}

/** The engine's init has the same arguments, and another program. */
const READ_RESIDENT_KIB = `
  const read = (pid, name) => fs.readFileSync('/proc/' + pid + '/' + name, 'utf8');
  const server = fs.readdirSync('/proc').find((pid) => /^[0-9]+$/.test(pid) && /node\\0.*cloister\\0serve\\0$/.test(read(pid, 'cmdline')));
  /VmRSS:\\s*([0-9]+)/.exec(read(server, 'status'))[1]
`;
