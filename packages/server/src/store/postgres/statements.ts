import type { QueryConfig } from 'pg';
import { invariant } from '../../base/errors.ts';
import { type Params, type Statement, textOf, type Value } from '../sql/query.ts';
import { POSTGRES } from './dialect.ts';

/** Turns the store's statements into those of PostgreSQL: `$n` for names, each with the type of its values. */
export interface Statements {
  /** The statement as the client wants it, with a name under which a connection keeps it prepared. */
  prepare(statement: Statement): QueryConfig<Value[]>;
  /** Gives new names from now on: the tables have changed under what the connections have prepared. */
  forget(): void;
}

/** The types are said, as PostgreSQL cannot tell those of some places; only a null that was never a value has none. */
type ParamType = 'text' | 'bigint' | 'double precision';

interface Parsed {
  /** Text, name, text, name … text. */
  readonly parts: readonly string[];
  readonly names: readonly string[];
  /** As seen in the values so far. */
  readonly types: Map<string, ParamType>;
  readonly texts: Map<string, { readonly name: string; readonly text: string }>;
}

/** A string or a quoted name, a cast, or a parameter; what is quoted is passed by. */
const TOKEN = /('(?:[^']|'')*'|"(?:[^"]|"")*"|::)|:([a-zA-Z_]\w*)/g;

export function createStatements(): Statements {
  // Not bounded: the texts are constants and the few that listings put together from fixed parts.
  const known = new Map<string, Parsed>();
  let generation = 0;
  let count = 0;
  return {
    prepare({ sql, params }) {
      const text = textOf(sql, POSTGRES);
      const parsed = known.get(text) ?? parse(text);
      known.set(text, parsed);
      const types = parsed.names.map((name) => typeOf(parsed, name, params[name]));
      const key = types.join();
      const made = parsed.texts.get(key) ?? { name: `q${count++}`, text: format(parsed, types) };
      parsed.texts.set(key, made);
      return { name: `${made.name}_${generation}`, text: made.text, values: valuesOf(parsed, params) };
    },
    forget() {
      generation++;
    },
  };
}

function parse(sql: string): Parsed {
  const parts: string[] = [];
  const names: string[] = [];
  let text = '';
  let end = 0;
  for (const match of sql.matchAll(TOKEN)) {
    const [token, passed, name] = match;
    text += sql.slice(end, match.index);
    end = match.index + token.length;
    if (name === undefined) text += passed ?? '';
    else {
      parts.push(text, name);
      if (!names.includes(name)) names.push(name);
      text = '';
    }
  }
  parts.push(text + sql.slice(end));
  return { parts, names, types: new Map(), texts: new Map() };
}

function typeOf({ types }: Parsed, name: string, value: Value | undefined): ParamType | undefined {
  invariant(value !== undefined, `the parameter ${name} is given`);
  const known = types.get(name);
  if (value === null || known === 'double precision') return known;
  const type = typeof value === 'string' ? 'text' : Number.isInteger(value) ? 'bigint' : 'double precision';
  if (type !== known) types.set(name, type);
  return type;
}

function format({ parts, names }: Parsed, types: readonly (ParamType | undefined)[]): string {
  return parts
    .map((part, index) => {
      if (index % 2 === 0) return part;
      const at = names.indexOf(part);
      const type = types[at];
      return type === undefined ? `$${at + 1}` : `$${at + 1}::${type}`;
    })
    .join('');
}

function valuesOf({ names }: Parsed, params: Params): Value[] {
  return names.map((name) => params[name] ?? null);
}
