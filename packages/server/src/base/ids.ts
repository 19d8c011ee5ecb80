import { randomBytes, randomUUIDv7 } from 'node:crypto';

/** Prefixes of every id we make; the rest is a UUIDv7, so ids sort by time of creation. */
export const ID_PREFIXES = {
  agent: 'agt',
  environment: 'env',
  session: 'ses',
  event: 'evt',
  turn: 'trn',
  sandbox: 'sbx',
  warm: 'wrm',
  incarnation: 'inc',
  apiKey: 'key',
  request: 'req',
  tenant: 'tnt',
  node: 'nod',
  volume: 'vol',
  installation: 'ins',
  webhook: 'whk',
  delivery: 'dlv',
  snapshot: 'snp',
  service: 'svc',
  egress: 'egr',
} as const;

export type IdKind = keyof typeof ID_PREFIXES;

export function newId(kind: IdKind): string {
  return idOf(kind, newUnique());
}

let nextUnique = () => randomUUIDv7().replaceAll('-', '');

/** The part of an id behind its prefix. */
export function newUnique(): string {
  return nextUnique();
}

/** For tests: takes what is unique from `next` from now on, so that a run can be repeated id by id. Returns the way back. */
export function takeUniquesFrom(next: () => string): () => void {
  const before = nextUnique;
  nextUnique = next;
  return () => {
    nextUnique = before;
  };
}

export function idOf(kind: IdKind, unique: string): string {
  return `${ID_PREFIXES[kind]}_${unique}`;
}

/** A secret that webhooks are signed with, in the form of Standard Webhooks. */
export function newWebhookSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

/** An API key: 256 random bits behind a prefix that secret scanners can look for. */
export function newApiKey(): string {
  return `clst_${randomBytes(32).toString('base64url')}`;
}

/** What a service's container shows to report how it is doing. */
export function newCallbackToken(): string {
  return `clcb_${randomBytes(32).toString('base64url')}`;
}
