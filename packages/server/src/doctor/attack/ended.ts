import { once } from 'node:events';
import { createConnection } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { type AgentConnection, connectAgent } from '../../harness/acp/connection.ts';
import type { SandboxIo } from '../../runtime/driver.ts';
import { abortable } from '../../sandboxes/open-sandbox.ts';
import type { Outcome } from './kit.ts';

const SETTLE_MS = 2000;

/** Keeps a connection to a sandbox's gateway beyond the sandbox's end, and comes back to its socket. */
export async function attackEnded(
  { socket, end, clock }: { readonly socket: string; readonly end: () => Promise<void>; readonly clock: Clock },
  add: (outcome: Outcome) => void,
): Promise<void> {
  const kept = createConnection(socket);
  kept.on('error', () => undefined);
  await once(kept, 'connect');
  const isCut = new Promise<boolean>((resolve) => {
    kept.once('close', () => resolve(true));
  });
  await end();
  const isClosed = await Promise.race([isCut, new Promise<boolean>((resolve) => clock.after(SETTLE_MS, () => resolve(false)))]);
  kept.destroy();
  const again = await dial(socket);
  const got = [...(isClosed ? [] : ['the connection that was open']), ...(again === 'connected' ? ['a new connection'] : [])];
  add({
    id: 'ended-gateway',
    what: 'the gateway of a sandbox that has ended: a connection kept, and its socket again',
    isRefused: got.length === 0,
    how: got.length === 0 ? `cut, ${again}` : got.join(', '),
  });
}

async function dial(path: string): Promise<string> {
  const socket = createConnection(path);
  return new Promise((resolve) => {
    socket.once('connect', () => resolve('connected')).once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'refused'));
  }).then((seen) => {
    socket.destroy();
    return String(seen);
  });
}

/** More than one message may be, without an end. */
const ENDLESS_MIB = 64;

/** Writes one line without end where the agent's protocol is spoken. */
export function endlessProgram(): string {
  return `const block = Buffer.alloc(1 << 20, 120); let n = 0; (function more() { while (n++ < ${ENDLESS_MIB}) if (!process.stdout.write(block)) return process.stdout.once('drain', more); })(); process.stdin.on('end', () => process.exit(0)).resume();`;
}

/** Reads a sandbox that writes without end as the server reads agents. */
export async function attackProtocol(io: SandboxIo, signal: AbortSignal, add: (outcome: Outcome) => void): Promise<void> {
  io.stderr.resume();
  let agent: AgentConnection | undefined;
  const how = await (async () => {
    try {
      agent = await abortable(connectAgent(io.stdin, io.stdout), signal);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return error instanceof Error ? error.message.slice(0, 120) : 'refused';
    } finally {
      agent?.close();
    }
  })();
  add({
    id: 'protocol-flood',
    what: `a message of ${ENDLESS_MIB} MiB where the agent speaks to the server`,
    isRefused: how !== undefined,
    how: how ?? 'it was read',
  });
}
