import { resolve } from './schema-sample.ts';
import type { Wire } from './server.ts';

/** Chance that can be had again by its seed: mulberry32, which is small and good enough to choose inputs. */
export interface Chance {
  /** From 0 on, below `n`. */
  below(n: number): number;
  /** True once in `n` times. */
  oneIn(n: number): boolean;
  pick<T>(list: readonly T[]): T;
}

export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number) => Math.floor(next() * n);
  return {
    below,
    oneIn: (n) => below(n) === 0,
    pick(list) {
      const one = list[below(list.length)];
      if (one === undefined) throw new Error('there is nothing to pick from');
      return one;
    },
  };
}

/** What breaks programs that trust their input. */
const ODD: readonly unknown[] = [
  null,
  true,
  '',
  ' ',
  '0',
  '\u0000',
  '\ud800',
  '../../etc/passwd',
  "'; DROP TABLE sessions; --",
  '{{7*7}}',
  '=1+1',
  '𝕏'.repeat(300),
  'x'.repeat(5000),
  '__proto__',
  'constructor',
  -1,
  0,
  1.5,
  1e21,
  2 ** 53,
  [],
  [[]],
  {},
  { __proto__: null },
  { constructor: { prototype: {} } },
];

/** A value that a schema of our own document takes, with some of what may be left out. */
export function generated(document: Wire, schema: Wire, chance: Chance, depth = 0): unknown {
  if (schema === undefined || depth > 10) return null;
  if (typeof schema.$ref === 'string') return generated(document, resolve(document, schema.$ref), chance, depth + 1);
  if ('const' in schema) return schema.const;
  if (Array.isArray(schema.enum)) return chance.pick(schema.enum);
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(alternatives)) return generated(document, chance.pick(alternatives), chance, depth + 1);
  if (Array.isArray(schema.allOf))
    return Object.assign({}, ...schema.allOf.map((part: Wire) => generated(document, part, chance, depth + 1)));
  return valueByType(document, schema, chance, depth);
}

function valueByType(document: Wire, schema: Wire, chance: Chance, depth: number): unknown {
  switch (Array.isArray(schema.type) ? chance.pick(schema.type) : schema.type) {
    case 'object':
      return objectOf(document, schema, chance, depth);
    case 'array': {
      const least = schema.minItems ?? 0;
      const length = Math.min(schema.maxItems ?? 3, least + (depth > 6 ? 0 : chance.below(3)));
      return Array.from({ length }, () => generated(document, schema.items, chance, depth + 1));
    }
    case 'integer':
    case 'number': {
      const least = schema.minimum ?? schema.exclusiveMinimum ?? 0;
      return least + chance.below(Math.min(1000, (schema.maximum ?? least + 1000) - least + 1));
    }
    case 'boolean':
      return chance.oneIn(2);
    case 'null':
      return null;
    case 'string':
      return textOf(schema, chance);
    default:
      return chance.pick(ODD);
  }
}

function objectOf(document: Wire, { properties = {}, required = [], additionalProperties }: Wire, chance: Chance, depth: number): object {
  const names = Object.keys(properties).filter((name) => required.includes(name) || (depth < 5 && chance.oneIn(3)));
  const entries = names.map((name) => [name, generated(document, properties[name], chance, depth + 1)]);
  if (typeof additionalProperties === 'object' && chance.oneIn(2))
    entries.push([`key_${chance.below(5)}`, generated(document, additionalProperties, chance, depth + 1)]);
  return Object.fromEntries(entries);
}

function textOf({ format, minLength = 0, maxLength = 200 }: Wire, chance: Chance): string {
  if (format === 'date-time') return new Date(Date.UTC(2030, chance.below(12), 1)).toISOString();
  if (format === 'date') return '2030-01-01';
  if (format === 'uri') return chance.pick(['https://example.org/', 'http://127.0.0.1:1/', 'https://user:pass@example.org/x?y=z']);
  if (format === 'email') return `p${chance.below(1000)}@example.org`;
  const text = chance.pick(['demo', 'a', 'Ünïcödé ☃', 'two words', `n${chance.below(1000)}`, '2g', 'https://example.org/', 'x'.repeat(60)]);
  return text.slice(0, maxLength).padEnd(minLength, 'x');
}

/** The value with one thing in it changed: a field gone, one too many, or one of another kind. */
export function mutated(value: unknown, chance: Chance): unknown {
  if (typeof value !== 'object' || value === null || chance.oneIn(6)) return chance.pick(ODD);
  if (Array.isArray(value)) {
    if (value.length === 0 || chance.oneIn(4)) return [...value, chance.pick(ODD)];
    const at = chance.below(value.length);
    return value.map((one, index) => (index === at ? mutated(one, chance) : one));
  }
  const names = Object.keys(value);
  if (names.length === 0 || chance.oneIn(5)) return { ...value, [`unknown_${chance.below(9)}`]: chance.pick(ODD) };
  const name = chance.pick(names);
  const { [name]: one, ...rest } = value as Record<string, unknown>; // its fields are what is being varied
  return chance.oneIn(4) ? rest : { ...rest, [name]: mutated(one, chance) };
}
