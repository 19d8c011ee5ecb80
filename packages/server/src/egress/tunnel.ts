import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from '../base/log.ts';
import { type Dialer, dial } from './dial.ts';
import type { Guard, StopReason, Visit } from './guard.ts';
import { parseTarget, type Target } from './host-policy.ts';
import { createIdleTimer } from './idle-timer.ts';
import { refuseTunnel } from './problem-response.ts';

export interface TunnelOptions {
  readonly guard: Guard;
  readonly dialer: Dialer;
  readonly log: Logger;
  readonly idleMs: number;
  readonly totalMs: number;
  readonly signal: AbortSignal;
  /** Takes over a tunnel that is to be looked into; undefined where that cannot be done. */
  readonly inspect?: ((target: Target, client: Duplex, head: Buffer) => void) | undefined;
}

/** Serves `CONNECT host:port`: bytes both ways between the sandbox and a host its policy allows. */
export async function openTunnel(options: TunnelOptions, request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
  const { guard } = options;
  const ended = new AbortController();
  const stop = (reason: StopReason) => ended.abort(reason);
  const onClose = () => stop('closed');
  client.once('close', onClose);
  // Without a listener a reset by the sandbox would be an uncaught error.
  client.on('error', () => client.destroy());
  const ask = { way: 'tunnel', method: 'CONNECT', target: parseTarget(request.url ?? '') } as const;
  const answer = guard.ask(ask, stop);
  if (answer.type === 'refused') return refuseTunnel(client, answer.refusal.code, answer.refusal.detail);
  if (answer.type === 'inspect') {
    if (options.inspect !== undefined) return options.inspect(answer.target, client, head);
    const detail = `Requests to ${answer.target.host} have to be looked into, and this server cannot.`;
    const refusal = guard.refuse(ask, 'inspection', { code: 'egress_denied', detail });
    return refuseTunnel(client, refusal.code, refusal.detail);
  }
  const { visit } = answer;
  try {
    const remote = await dial(options.dialer, visit.target, AbortSignal.any([options.signal, ended.signal]));
    client.off('close', onClose);
    visit.connected(remote.remoteAddress ?? '');
    if (client.destroyed || ended.signal.aborted) {
      remote.destroy();
      client.destroy();
      return visit.end('closed');
    }
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    visit.count('up', head.length);
    if (head.length > 0) remote.write(head);
    join(options, { visit, client, remote, ended: ended.signal });
  } catch (error) {
    const refusal = visit.failed(error);
    if (!client.destroyed) refuseTunnel(client, refusal.code, refusal.detail);
  }
}

interface Joined {
  readonly visit: Visit;
  readonly client: Duplex;
  readonly remote: Duplex;
  /** Aborted with the reason when the connection must end. */
  readonly ended: AbortSignal;
}

/** Both ends live and die together; each may close its own direction first. */
function join({ dialer: { clock }, idleMs, totalMs }: TunnelOptions, { visit, client, remote, ended }: Joined): void {
  const end = (ending: string) => {
    idle.stop();
    cancelTotal();
    client.destroy();
    remote.destroy();
    visit.end(ending);
  };
  const onEnded = () => end(String(ended.reason));
  const idle = createIdleTimer(clock, idleMs, () => end('idle'));
  const cancelTotal = clock.after(totalMs, () => end('total_time'));
  ended.addEventListener('abort', onEnded, { once: true });
  for (const [side, direction] of [
    [client, 'up'],
    [remote, 'down'],
  ] as const) {
    side.once('close', () => end('done'));
    side.on('data', (chunk: Buffer) => {
      idle.touch();
      visit.count(direction, chunk.length);
    });
  }
  remote.on('error', () => end('done'));
  client.pipe(remote);
  remote.pipe(client);
}
