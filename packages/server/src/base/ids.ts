import { randomBytes, randomUUIDv7 } from 'node:crypto';
import { crc32 } from 'node:zlib';

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
  user: 'usr',
  invitation: 'inv',
  signIn: 'sgn',
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
  blob: 'blb',
  file: 'file',
  skill: 'skill',
  skillVersion: 'skver',
  memoryStore: 'memstore',
  memory: 'mem',
  memoryVersion: 'memver',
  resource: 'sesrsc',
  budget: 'bud',
  plan: 'pln',
  storageHold: 'hld',
  vault: 'vlt',
  credential: 'vcrd',
  audit: 'aud',
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

/** What a secret of ours is for, as its text says behind `clo_`. */
export const SECRET_KINDS = { apiKey: 'k', invitation: 'i', signIn: 's' } as const;

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 62 to the power of 43 is more than 2 to the power of 256. */
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;

/**
 * A secret that scanners find and can tell from what only looks like one: `clo_`, its kind, 43 random characters, and a
 * CRC-32 of all that.
 */
export function newSecret(kind: keyof typeof SECRET_KINDS): string {
  const text = `clo_${SECRET_KINDS[kind]}_${randomBase62(SECRET_LENGTH)}`;
  return text + checksumOf(text);
}

/** False for what says of itself that it is one of ours and is not: cut, mistyped or made up. What says nothing is not judged. */
export function hasRightChecksum(text: string): boolean {
  if (!text.startsWith('clo_')) return true;
  return /^clo_[a-z]_[0-9A-Za-z]{49}$/.test(text) && checksumOf(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH);
}

function randomBase62(length: number): string {
  let text = '';
  // Bytes that would favour some characters are passed by.
  while (text.length < length) for (const byte of randomBytes(length)) if (byte < 248 && text.length < length) text += BASE62[byte % 62];
  return text;
}

function checksumOf(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let place = 0; place < CHECKSUM_LENGTH; place++) {
    digits = BASE62[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

/** What a service's container shows to report how it is doing. */
export function newCallbackToken(): string {
  return `clcb_${randomBytes(32).toString('base64url')}`;
}
