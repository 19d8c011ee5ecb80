import { Agent, type ClientRequestArgs } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { type Dialer, dial, dialPlain, plainProxyOf } from './dial.ts';
import type { Target } from './host-policy.ts';
import type { Proxies, ProxyServer } from './proxies.ts';
import { connectToProxy, credentialsFor, openTunnelBy } from './proxy-tunnel.ts';

/** What requests to providers go by. */
export interface UpstreamAgents {
  readonly http: Agent;
  readonly https: SecureAgent;
  /** The same ways out, for a request that must not take a connection that was kept. */
  readonly fresh: { readonly http: Agent; readonly https: SecureAgent };
  /** What a request to the URL says besides; for all but plain requests by a proxy that is nothing. */
  formOf(url: URL): RequestForm;
  close(): void;
}

export interface RequestForm {
  /** Takes the place of the path. */
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The proxy that reads the request. */
  readonly proxy?: ProxyServer;
}

type OnConnection = (error: Error | null, stream: Duplex) => void;
type Options = Pick<ClientRequestArgs, 'host' | 'port'>;

interface Ways {
  /** Undefined where node's own way is to be taken. */
  open(isSecure: boolean, target: Target): Promise<Socket> | undefined;
  plainProxyOf(target: Target): ProxyServer | undefined;
}

/**
 * Keeps connections as node's own agents do, but opens each as a sandbox's tunnel is opened: every address of the name is
 * checked, and the one that was checked is dialled. For providers at places that a tenant has named.
 */
export function createCheckedAgents(dialer: Dialer): UpstreamAgents {
  const signal = () => AbortSignal.timeout(dialer.timeoutMs);
  return createAgents({
    open: async (isSecure, target) => (isSecure ? dial(dialer, target, signal()) : (await dialPlain(dialer, target, signal())).socket),
    plainProxyOf: (target) => plainProxyOf(dialer, target),
  });
}

/** For places that the operator has named: nothing is checked, and a proxy is told their names. */
export function createTrustedAgents(proxies: Proxies | undefined, timeoutMs: number): UpstreamAgents {
  return createAgents({
    open(isSecure, target) {
      const proxy = proxies?.of(isSecure ? 'tunnel' : 'plain', target);
      if (proxy === undefined) return undefined;
      const wanted = { proxy, target, signal: AbortSignal.timeout(timeoutMs) };
      return isSecure ? openTunnelBy(wanted) : connectToProxy(wanted);
    },
    plainProxyOf: (target) => proxies?.of('plain', target),
  });
}

function createAgents(ways: Ways): UpstreamAgents {
  const kept = pairOf(ways, true);
  const fresh = pairOf(ways, false);
  return {
    ...kept,
    fresh,
    formOf: (url) => formOf(ways, url),
    close() {
      for (const agent of [kept.http, kept.https, fresh.http, fresh.https]) agent.destroy();
    },
  };
}

function pairOf(ways: Ways, keepAlive: boolean): UpstreamAgents['fresh'] {
  const http = new Agent({ keepAlive });
  const https = new SecureAgent({ keepAlive });
  for (const agent of [http, https]) {
    const isSecure = agent === https;
    const byNode = agent.createConnection.bind(agent);
    agent.createConnection = (options, done) => {
      const target = targetOf(options, isSecure);
      const opening = ways.open(isSecure, target);
      if (opening === undefined) return byNode(options, done);
      // As: node's own type leaves out that one of the two is there.
      finish(opening, isSecure ? target.host : undefined, done as OnConnection);
      return undefined;
    };
  }
  return { http, https };
}

function finish(opening: Promise<Socket>, secureHost: string | undefined, done: OnConnection): void {
  opening.then(
    (socket) => {
      if (secureHost === undefined) return done(null, socket);
      const name = isIP(secureHost) === 0 ? { servername: secureHost } : {};
      const secured = connectTls({ socket, host: secureHost, ...name, ALPNProtocols: ['http/1.1'] });
      secured.once('close', () => socket.destroy());
      done(null, secured);
    },
    // As: with an error node looks at no stream.
    (error: Error) => done(error, undefined as unknown as Duplex),
  );
}

function targetOf({ host, port }: Options, isSecure: boolean): Target {
  return { host: (host ?? '').replace(/^\[|\]$/g, '').toLowerCase(), port: Number(port ?? (isSecure ? 443 : 80)) };
}

function formOf(ways: Ways, url: URL): RequestForm {
  if (url.protocol !== 'http:') return {};
  const proxy = ways.plainProxyOf(targetOf({ host: url.hostname, port: url.port || null }, false));
  return proxy === undefined ? {} : { path: wholeUrl(url), headers: { ...credentialsFor(proxy) }, proxy };
}

/** As a proxy wants it: without what is for neither it nor the host. */
export function wholeUrl({ host, pathname, search }: Pick<URL, 'host' | 'pathname' | 'search'>): string {
  return `http://${host}${pathname}${search}`;
}
