import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import type { Target } from './host-policy.ts';

/** Answers all addresses of a name. */
export type Resolve = (host: string) => Promise<readonly string[]>;

export interface Dialer {
  readonly resolve: Resolve;
  readonly isDenied: (address: string) => boolean;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly connect?: (address: string, port: number) => Socket;
}

/**
 * Opens a connection to a target. The name is resolved here and once; every address it has is
 * checked, one denied address refuses the whole name, and the connection goes to a checked address
 * and not to the name again, so that a second answer of the name server changes nothing.
 * Throws `egress_denied` or `egress_unreachable`.
 */
export async function dial(dialer: Dialer, target: Target, signal: AbortSignal): Promise<Socket> {
  const timeout = new AbortController();
  const cancel = dialer.clock.after(dialer.timeoutMs, () => timeout.abort());
  const ended = AbortSignal.any([signal, timeout.signal]);
  try {
    const addresses = await untilAborted(addressesOf(dialer, target), ended, target);
    const denied = addresses.find(dialer.isDenied);
    if (denied !== undefined) {
      const detail = `${target.host} is at an address that no sandbox may reach (private, local or reserved).`;
      throw new PlatformError('egress_denied', { detail });
    }
    return await connectToFirst(dialer, target, addresses, ended);
  } finally {
    cancel();
  }
}

async function addressesOf(dialer: Dialer, target: Target): Promise<readonly string[]> {
  if (isIP(target.host) !== 0) return [target.host];
  try {
    const addresses = await dialer.resolve(target.host);
    if (addresses.length > 0) return addresses;
  } catch (cause) {
    throw unreachable(target, 'its name does not resolve', cause);
  }
  throw unreachable(target, 'its name has no address');
}

async function connectToFirst(dialer: Dialer, target: Target, addresses: readonly string[], signal: AbortSignal): Promise<Socket> {
  let last: unknown;
  for (const address of addresses) {
    try {
      return await connectTo(dialer, target, address, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      last = error;
    }
  }
  throw last;
}

function connectTo(dialer: Dialer, target: Target, address: string, signal: AbortSignal): Promise<Socket> {
  const open = dialer.connect ?? ((host, port) => connectTcp({ host, port, allowHalfOpen: true, noDelay: true }));
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(unreachable(target, 'it did not answer in time'));
    const socket = open(address, target.port);
    const settle = (done: () => void) => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError).off('connect', onConnect);
      done();
    };
    const onConnect = () => settle(() => resolve(socket));
    const onError = (error: Error) => settle(() => reject(unreachable(target, errorCode(error), error)));
    const onAbort = () =>
      settle(() => {
        socket.on('error', () => undefined).destroy();
        reject(unreachable(target, 'it did not answer in time'));
      });
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', onConnect).once('error', onError);
  });
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal, target: Target): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(unreachable(target, 'its name did not resolve in time'));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function unreachable(target: Target, why: string, cause?: unknown): PlatformError {
  return new PlatformError('egress_unreachable', { detail: `${target.host}:${target.port} could not be reached: ${why}.`, cause });
}

/** The short name of a network error, which says what happened and nothing of where. */
export function errorCode(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'the connection failed';
}
