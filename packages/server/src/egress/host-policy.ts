import { isIP } from 'node:net';
import type { NetworkPolicy } from './gateway.ts';

/** A host and port as a sandbox asked for them, in the one form that is compared and dialled. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

interface HostRule {
  readonly isSuffix: boolean;
  readonly host: string;
  /** Undefined allows the two ports of the web. */
  readonly port: number | undefined;
}

const WEB_PORTS: readonly number[] = [80, 443];

/** Parses `host[:port]` as CONNECT carries it. Numbers in odd bases become dotted, names become ASCII. */
export function parseTarget(authority: string, defaultPort?: number): Target | undefined {
  // The characters of a host and a port only: no user, path, query or escape gets to the parser.
  if (!/^[^\s/@?#%\\]+$/.test(authority)) return undefined;
  const port = /:(\d{1,5})$/.exec(authority)?.[1];
  const url = URL.parse(`http://${authority}`);
  if (url === null || url.hostname === '') return undefined;
  const number = port === undefined ? defaultPort : Number(port);
  if (number === undefined || number < 1 || number > 65_535) return undefined;
  return { host: bareHost(url.hostname), port: number };
}

function bareHost(hostname: string): string {
  return hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
}

/** Parses one entry of an allow-list; undefined for what is none, and such an entry allows nothing. */
export function parseHostRule(entry: string): HostRule | undefined {
  const trimmed = entry.trim();
  const isSuffix = trimmed.startsWith('*.');
  const authority = isSuffix ? trimmed.slice(2) : trimmed;
  if (authority.includes('*')) return undefined;
  const isBareIpv6 = isIP(authority) === 6;
  const hasPort = !isBareIpv6 && /:\d{1,5}$/.test(authority);
  const target = parseTarget(isBareIpv6 ? `[${authority}]` : authority, 443);
  if (target === undefined) return undefined;
  return { isSuffix, host: target.host, port: hasPort ? target.port : undefined };
}

/** Decides by name alone; the addresses behind the name are checked when it is dialled. */
export function createHostPolicy(policy: NetworkPolicy): (target: Target) => boolean {
  const rules = policy.allowedHosts.map(parseHostRule).filter((rule) => rule !== undefined);
  return (target) => policy.isUnrestricted === true || rules.some((rule) => matches(rule, target));
}

function matches(rule: HostRule, target: Target): boolean {
  const isPort = rule.port === undefined ? WEB_PORTS.includes(target.port) : rule.port === target.port;
  if (!isPort) return false;
  return rule.isSuffix ? target.host.endsWith(`.${rule.host}`) : target.host === rule.host;
}
