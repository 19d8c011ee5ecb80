import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { Refusals } from '../base/refusals.ts';

/**
 * Slow hashes of passwords, with their parameters in the stored text (the PHC form), so that these can grow: who signs in
 * with an older one gets a new one.
 */
export interface Passwords {
  hash(password: string): Promise<string>;
  /** Takes as long whatever comes out, also without anything to compare with. */
  verify(password: string, stored: string | null): Promise<boolean>;
  /** Made with other parameters than new ones are. */
  isOutdated(stored: string): boolean;
}

interface Parameters {
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
}

const derive = promisify(argon2);

/** What OWASP names for argon2id: 19 MiB, two passes, one lane. */
const CURRENT: Parameters = { memory: 19_456, passes: 2, parallelism: 1 };
const TAG_LENGTH = 32;
const SALT_LENGTH = 16;
/** Each takes a processor and its memory for a while. */
const MAX_AT_ONCE = 2;
const MAX_WAITING = 100;
const RETRY_AFTER_MS = 2000;
/** What no password has: compared with where there is nothing to compare with. */
const NOBODY = phc(CURRENT, Buffer.alloc(SALT_LENGTH), Buffer.alloc(TAG_LENGTH));

export function createPasswords({ refusals }: { readonly refusals: Refusals }): Passwords {
  const waiting: (() => void)[] = [];
  let running = 0;

  async function slowly<T>(work: () => Promise<T>): Promise<T> {
    if (waiting.length >= MAX_WAITING)
      throw refusals.refuse('passwords', { detail: 'Too many sign-ins are being checked.', retryAfterMs: RETRY_AFTER_MS });
    if (running >= MAX_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
    running++;
    try {
      return await work();
    } finally {
      running--;
      waiting.shift()?.();
    }
  }

  const tagOf = (password: string, nonce: Buffer, { memory, passes, parallelism }: Parameters, tagLength: number): Promise<Buffer> =>
    slowly(() => derive('argon2id', { message: password.normalize('NFC'), nonce, memory, passes, parallelism, tagLength }));

  return {
    async hash(password) {
      const salt = randomBytes(SALT_LENGTH);
      return phc(CURRENT, salt, await tagOf(password, salt, CURRENT, TAG_LENGTH));
    },
    async verify(password, stored) {
      const { parameters, salt, tag } = parsePhc(stored ?? NOBODY) ?? parsed(NOBODY);
      const isEqual = timingSafeEqual(await tagOf(password, salt, parameters, tag.length), tag);
      return isEqual && stored !== null;
    },
    isOutdated: (stored) => !stored.startsWith(`${prefix(CURRENT)}$`),
  };
}

function prefix({ memory, passes, parallelism }: Parameters): string {
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}`;
}

function phc(parameters: Parameters, salt: Buffer, tag: Buffer): string {
  const text = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
  return `${prefix(parameters)}$${text(salt)}$${text(tag)}`;
}

interface Stored {
  readonly parameters: Parameters;
  readonly salt: Buffer;
  readonly tag: Buffer;
}

function parsePhc(stored: string): Stored | undefined {
  const match = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/.exec(stored);
  if (match === null) return undefined;
  const [, memory, passes, parallelism, salt = '', tag = ''] = match;
  const parameters = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
  return { parameters, salt: Buffer.from(salt, 'base64'), tag: Buffer.from(tag, 'base64') };
}

function parsed(stored: string): Stored {
  const value = parsePhc(stored);
  if (value === undefined) throw new Error('our own form is read');
  return value;
}
