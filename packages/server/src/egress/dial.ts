import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import type { Target } from './host-policy.ts';
import { authorityOf, type Proxies, type ProxyServer } from './proxies.ts';
import { connectToProxy, openTunnelBy } from './proxy-tunnel.ts';

/** Answers all addresses of a name. */
export type Resolve = (host: string) => Promise<readonly string[]>;

export interface Dialer {
  readonly resolve: Resolve;
  readonly isDenied: (address: string) => boolean;
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** What the outside is reached by; undefined for nothing but the network. */
  readonly proxies?: Proxies | undefined;
  readonly connect?: (address: string, port: number) => Socket;
}

/** A connection for one plain request. */
export interface PlainConnection {
  readonly socket: Socket;
  /** Set where the request goes to this proxy, which wants to read the whole URL. */
  readonly proxy: ProxyServer | undefined;
}

/**
 * Opens a connection to a target that a tenant has named. The name is resolved here and once; every address it has is
 * checked, one denied address refuses the whole name, and the connection goes to a checked address
 * and not to the name again, so that a second answer of the name server changes nothing.
 * Behind a proxy the same check is made first, for as much as this host knows of the name: docs/adr/0028-proxy-and-names.md.
 * Throws `egress_denied`, `egress_unreachable` or `egress_proxy_failed`.
 */
export async function dial(dialer: Dialer, target: Target, signal: AbortSignal): Promise<Socket> {
  return withinTime(dialer, signal, (ended) => {
    const proxy = dialer.proxies?.of('tunnel', target);
    return proxy === undefined ? dialDirectly(dialer, target, ended) : dialBy(proxy, dialer, target, ended);
  });
}

/** The same for a request without TLS, which a proxy reads. */
export async function dialPlain(dialer: Dialer, target: Target, signal: AbortSignal): Promise<PlainConnection> {
  return withinTime(dialer, signal, async (ended) => {
    const proxy = plainProxyOf(dialer, target);
    if (proxy === undefined) {
      const { proxies } = dialer;
      const tunnel = proxies?.of('plain', target);
      const open = tunnel === undefined ? dialDirectly(dialer, target, ended) : dialBy(tunnel, dialer, target, ended);
      return { socket: await open, proxy: undefined };
    }
    await requireAllowed(dialer, target, ended);
    return { socket: await connectToProxy({ proxy, target, signal: ended }), proxy };
  });
}

/** The proxy that reads plain requests to the target. One that is not to look names up gets a tunnel to an address instead. */
export function plainProxyOf({ proxies }: Pick<Dialer, 'proxies'>, target: Target): ProxyServer | undefined {
  return proxies?.areToldNames === true || isIP(target.host) !== 0 ? proxies?.of('plain', target) : undefined;
}

async function withinTime<T>({ clock, timeoutMs }: Dialer, signal: AbortSignal, run: (ended: AbortSignal) => Promise<T>): Promise<T> {
  const timeout = new AbortController();
  const cancel = clock.after(timeoutMs, () => timeout.abort());
  try {
    return await run(AbortSignal.any([signal, timeout.signal]));
  } finally {
    cancel();
  }
}

async function dialDirectly(dialer: Dialer, target: Target, ended: AbortSignal): Promise<Socket> {
  const addresses = await checkedAddresses(dialer, target, ended);
  return firstOf(addresses, ended, (address) => connectTo(dialer, target, address, ended));
}

async function dialBy(proxy: ProxyServer, dialer: Dialer, target: Target, ended: AbortSignal): Promise<Socket> {
  const wanted = { proxy, target, signal: ended };
  if (dialer.proxies?.areToldNames === true) {
    await requireAllowed(dialer, target, ended);
    return openTunnelBy(wanted);
  }
  const addresses = await checkedAddresses(dialer, target, ended);
  return firstOf(addresses, ended, (address) => openTunnelBy(wanted, authorityOf({ host: address, port: target.port })));
}

/** How long a name server may take before the name counts as unknown here, behind a proxy that knows it. */
const UNKNOWN_AFTER_MS = 2000;

/** For what the proxy is told by name: what this host knows of the name must allow it. */
async function requireAllowed(dialer: Dialer, target: Target, ended: AbortSignal): Promise<void> {
  const late = new AbortController();
  const cancel = dialer.clock.after(UNKNOWN_AFTER_MS, () => late.abort());
  try {
    await checkedAddresses(dialer, target, AbortSignal.any([ended, late.signal]));
  } catch (error) {
    if (ended.aborted || !isPlatformError(error, 'egress_unreachable')) throw error;
    if (!isLocalName(target.host)) return;
    const detail = `${target.host} is not known here, and is a name that only a private network has: what NO_PROXY names is reached without the proxy.`;
    throw new PlatformError('egress_denied', { detail, cause: error });
  } finally {
    cancel();
  }
}

/** Names without a place on the internet (RFC 6761, 6762 and 8375, and what networks use in fact). */
const LOCAL_ENDINGS = new Set(['localhost', 'local', 'internal', 'intranet', 'private', 'corp', 'home', 'lan', 'localdomain']);

function isLocalName(host: string): boolean {
  const labels = host.split('.');
  return labels.length === 1 || host.endsWith('.home.arpa') || LOCAL_ENDINGS.has(labels.at(-1) ?? '');
}

async function checkedAddresses(dialer: Dialer, target: Target, ended: AbortSignal): Promise<readonly string[]> {
  const addresses = await untilAborted(addressesOf(dialer, target), ended, target);
  if (!addresses.some(dialer.isDenied)) return addresses;
  const detail = `${target.host} is at an address that no sandbox may reach (private, local or reserved).`;
  throw new PlatformError('egress_denied', { detail });
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

async function firstOf(addresses: readonly string[], signal: AbortSignal, open: (address: string) => Promise<Socket>): Promise<Socket> {
  let last: unknown;
  for (const address of addresses) {
    try {
      return await open(address);
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
