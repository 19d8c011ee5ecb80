import { isIP } from 'node:net';
import type { NetworkPolicy, NetworkRule } from './gateway.ts';

/** A host and port as a sandbox asked for them, in the one form that is compared and dialled. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

export interface PolicyRequest {
  readonly target: Target;
  readonly method: string;
  /** As it goes to the host, without the query; undefined for a tunnel. */
  readonly path: string | undefined;
}

export type Verdict =
  | { readonly type: 'allowed'; readonly credential: string | undefined }
  /** A tunnel that is opened only to be looked into. */
  | { readonly type: 'inspect' }
  | { readonly type: 'denied'; readonly reason: 'not_listed' | 'method' | 'path'; readonly detail: string };

export type HostPolicy = (request: PolicyRequest) => Verdict;

interface HostRule {
  readonly isSuffix: boolean;
  readonly host: string;
  /** Undefined allows the two ports of the web. */
  readonly port: number | undefined;
}

interface Rule {
  /** Undefined matches every host and port. */
  readonly host: HostRule | undefined;
  readonly methods: ReadonlySet<string> | undefined;
  readonly paths: readonly string[] | undefined;
  readonly isInspected: boolean;
  readonly credential: string | undefined;
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

/**
 * Decides by name, method and path; the addresses behind the name are checked when it is dialled.
 * Of several policies each must allow what is asked for: the later narrow the first.
 */
export function createHostPolicy(policies: readonly NetworkPolicy[]): HostPolicy {
  const lists = policies.map(rulesOf);
  return (request) => {
    const verdicts = lists.map((rules) => judge(rules, request));
    const denied = verdicts.find((verdict) => verdict.type === 'denied');
    if (denied !== undefined) return denied;
    if (verdicts.length === 0) return notListed(request);
    if (verdicts.some((verdict) => verdict.type === 'inspect')) return { type: 'inspect' };
    const named = verdicts.find((verdict) => verdict.type === 'allowed' && verdict.credential !== undefined);
    return named ?? { type: 'allowed', credential: undefined };
  };
}

const UNLIMITED = { methods: undefined, paths: undefined, isInspected: false, credential: undefined };

function rulesOf(policy: NetworkPolicy): readonly Rule[] {
  const listed = policy.allowedHosts.map(parseHostRule).filter((host) => host !== undefined);
  const limited = (policy.rules ?? []).map(ruleOf).filter((rule) => rule !== undefined);
  const anywhere = policy.isUnrestricted === true ? [{ host: undefined, ...UNLIMITED }] : [];
  return [...listed.map((host) => ({ host, ...UNLIMITED })), ...limited, ...anywhere];
}

function ruleOf({ host: entry, methods, paths, isInspected, credential }: NetworkRule): Rule | undefined {
  const host = parseHostRule(entry);
  if (host === undefined) return undefined;
  return {
    host,
    methods: methods == null ? undefined : new Set(methods.includes('GET') ? [...methods, 'HEAD'] : methods),
    paths: paths ?? undefined,
    isInspected: isInspected === true || credential != null,
    credential: credential ?? undefined,
  };
}

function judge(rules: readonly Rule[], request: PolicyRequest): Verdict {
  const { method, path } = request;
  const near = rules.filter(({ host }) => host === undefined || matches(host, request.target));
  if (near.length === 0) return notListed(request);
  // Whoever may be looked into is: a tunnel beside it would be a way around the credential and the rules.
  if (path === undefined && near.some((rule) => rule.isInspected)) return { type: 'inspect' };
  const ofMethod = near.filter((rule) => rule.methods?.has(method) ?? true);
  if (ofMethod.length === 0) return denied('method', request);
  const fitting = ofMethod.filter(({ paths }) => paths === undefined || (path !== undefined && isBelow(path, paths)));
  if (fitting.length === 0) return denied(path === undefined ? 'method' : 'path', request);
  return { type: 'allowed', credential: fitting.find((rule) => rule.credential !== undefined)?.credential };
}

function matches(rule: HostRule, target: Target): boolean {
  const isPort = rule.port === undefined ? WEB_PORTS.includes(target.port) : rule.port === target.port;
  if (!isPort) return false;
  return rule.isSuffix ? target.host.endsWith(`.${rule.host}`) : target.host === rule.host;
}

/** What another server could read as a step to a different place is below nothing. */
function isBelow(path: string, prefixes: readonly string[]): boolean {
  if (/%(2f|5c|2e|00|25)|\\|\/\/|\/\.{1,2}(?:\/|$)/i.test(path)) return false;
  return prefixes.some((prefix) => path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`));
}

function notListed({ target: { host, port } }: PolicyRequest): Verdict {
  return { type: 'denied', reason: 'not_listed', detail: `${host}:${port} is not in the allowed hosts of this environment.` };
}

function denied(reason: 'method' | 'path', { target: { host, port }, method, path }: PolicyRequest): Verdict {
  if (path === undefined)
    return { type: 'denied', reason, detail: `A tunnel to ${host}:${port} is not allowed here: only some requests to it are.` };
  const what = reason === 'method' ? method : `${method} with this path`;
  return { type: 'denied', reason, detail: `${what} is not among what is allowed of ${host}:${port}.` };
}
