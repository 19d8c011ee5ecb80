import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

/** Secrets that are planted, by what they are, and the search for them in everything that the platform leaves behind. */
export interface Canaries {
  /** A secret that is nowhere else in the world. */
  plant(name: string, prefix?: string): string;
  /** One that the server itself has made. */
  add(name: string, value: string): void;
  readonly count: () => number;
  /** Which of them, and in which form, are in the text or stream. */
  hitsIn(source: string | AsyncIterable<Uint8Array | string>): Promise<readonly string[]>;
}

export function createCanaries(): Canaries {
  const secrets = new Map<string, string>();
  const add = (name: string, value: string) => void secrets.set(name, value);
  return {
    add,
    plant(name, prefix = '') {
      // With what URLs, JSON and base64 each write in another way.
      const value = `${prefix}${randomBytes(12).toString('hex')}+/=&%"${randomBytes(6).toString('hex')}`;
      add(name, value);
      return value;
    },
    count: () => secrets.size,
    async hitsIn(source) {
      const forms = [...secrets].flatMap(([name, value]) => formsOf(value).map(([form, text]) => ({ name: `${name} (${form})`, text })));
      // The middle of each form is sought first, as one expression: most bytes are looked at once.
      const any = new RegExp(forms.map(({ text }) => text.replaceAll(/[^A-Za-z0-9]/g, '\\$&')).join('|'));
      const longest = Math.max(...forms.map(({ text }) => text.length));
      const found = new Set<string>();
      let tail = '';
      for await (const chunk of typeof source === 'string' ? [source] : source) {
        const text = tail + (typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('latin1'));
        if (any.test(text)) for (const form of forms) if (text.includes(form.text)) found.add(form.name);
        tail = text.slice(-longest);
      }
      return [...found];
    },
  };
}

/** The forms are made here anew, so that a form the product forgets is found. */
function formsOf(secret: string): readonly (readonly [form: string, text: string])[] {
  const bytes = Buffer.from(secret);
  const shifted = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift, 'x'), bytes]).toString('base64');
    return text.slice(shift === 0 ? 0 : 4, Math.floor((shift + bytes.length) / 3) * 4);
  });
  return [
    ['plain', secret],
    ['json', JSON.stringify(secret).slice(1, -1)],
    ['url', encodeURIComponent(secret)],
    ['form', new URLSearchParams({ a: secret }).toString().slice(2)],
    ['hex', bytes.toString('hex')],
    ['upper hex', bytes.toString('hex').toUpperCase()],
    ...shifted.flatMap((text, shift) => [
      [`base64 ${shift}`, text] as const,
      [`base64url ${shift}`, text.replaceAll('+', '-').replaceAll('/', '_')] as const,
    ]),
  ];
}

/** Every file below, but those whose path the predicate leaves out; sockets and such are none. */
export async function* filesBelow(root: string, isLeftOut: (relative: string) => boolean): AsyncGenerator<string> {
  for (const entry of await readdir(root, { withFileTypes: true, recursive: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (entry.isFile() && !isLeftOut(path.relative(root, file))) yield file;
  }
}

export function contentOf(file: string): AsyncIterable<Uint8Array> {
  return createReadStream(file, { highWaterMark: 1024 * 1024 });
}
