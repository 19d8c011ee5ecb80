import { BlockList, isIP } from 'node:net';
import { type UpstreamProxy, unescaped } from '../core/egress-settings.ts';
import type { Target } from './host-policy.ts';

/** A proxy as it is spoken to. */
export interface ProxyServer {
  readonly host: string;
  readonly port: number;
  readonly isSecure: boolean;
  /** The value of `proxy-authorization`. */
  readonly credentials: string | undefined;
  /** Which setting names it, for what people are told. */
  readonly setting: 'HTTPS_PROXY' | 'HTTP_PROXY';
}

/** A tunnel carries bytes, TLS mostly; a plain request is one that the proxy itself reads. */
export type Way = 'tunnel' | 'plain';

/** Which proxy a place outside is reached by. */
export interface Proxies {
  /** The proxy is told names, and looks them up. */
  readonly areToldNames: boolean;
  /** Undefined for a place that is reached directly. */
  of(way: Way, target: Target): ProxyServer | undefined;
}

/** Undefined where no proxy is set. */
export function createProxies(settings: UpstreamProxy | undefined): Proxies | undefined {
  if (settings === undefined) return undefined;
  const tunnel = parseProxy(settings.secure, 'HTTPS_PROXY');
  const plain = parseProxy(settings.plain, 'HTTP_PROXY');
  const exceptions = settings.except.split(/[\s,]+/).flatMap(parseException);
  return {
    areToldNames: settings.names === 'proxy',
    of(way, target) {
      // To the proxy this host is another one: it would reach itself.
      if (isThisHost(target.host) || exceptions.some((covers) => covers(target))) return undefined;
      return way === 'tunnel' ? tunnel : plain;
    },
  };
}

/** `host:port`, with brackets where it needs them. */
export function authorityOf({ host, port }: Target): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

function parseProxy(value: string | undefined, setting: ProxyServer['setting']): ProxyServer | undefined {
  if (value === undefined) return undefined;
  const { protocol, hostname, port, username, password } = new URL(value);
  const isSecure = protocol === 'https:';
  const pair = `${unescaped(username)}:${unescaped(password)}`;
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (isSecure ? 443 : 80) : Number(port),
    isSecure,
    credentials: username === '' ? undefined : `Basic ${Buffer.from(pair).toString('base64')}`,
    setting,
  };
}

function isThisHost(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

type Covers = (target: Target) => boolean;

/**
 * An entry of NO_PROXY, as curl and others read it: `name` and `.name` stand for the name and all below it, `*` for
 * everything; an address or a network, such as `10.0.0.0/8`, for what is named by address. Each may end in a port.
 */
function parseException(entry: string): readonly Covers[] {
  const text = entry.toLowerCase();
  if (text === '') return [];
  if (text === '*') return [() => true];
  const network = parseNetwork(text);
  if (network !== undefined) return [({ host }) => network(host)];
  const [, bracketed, bare = '', port] = /^(?:\[([^\]]+)\]|(.+?))(?::(\d+))?$/.exec(text) ?? [];
  const isWhole = isIP(text) === 6;
  const name = isWhole ? text : (bracketed ?? bare).replace(/^\*?\./, '').replace(/\.$/, '');
  if (name === '') return [];
  const isPort = (target: Target) => isWhole || port === undefined || target.port === Number(port);
  return [(target) => isPort(target) && (target.host === name || (isIP(name) === 0 && target.host.endsWith(`.${name}`)))];
}

function parseNetwork(text: string): ((host: string) => boolean) | undefined {
  const [, address = '', prefix = ''] = /^(.+)\/(\d{1,3})$/.exec(text) ?? [];
  const version = isIP(address);
  if (version === 0 || Number(prefix) > (version === 4 ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(prefix), version === 4 ? 'ipv4' : 'ipv6');
  return (host) => isIP(host) === version && list.check(host, version === 4 ? 'ipv4' : 'ipv6');
}
