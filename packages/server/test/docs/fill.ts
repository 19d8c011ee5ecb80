/** Values that a page has in the place of those of its reader. */
export interface Places {
  /** What stands in a page, and what it is here: addresses, directories. Longer ones first. */
  readonly here: readonly (readonly [from: string | RegExp, to: string])[];
}

/** `<turn>` and its like, which stand for an id. */
const NAMED: Readonly<Record<string, string>> = { '<session>': 'ses', '<turn>': 'trn' };
/** What a page takes over from an answer above in words of its own. */
const TAKEN: readonly (readonly [RegExp, RegExp])[] = [
  [/session_id_from_above/g, /"session_id":\s*"([^"]+)"/g],
  [/cloister-\d{8}T\d{6}Z/g, /(cloister-\d{8}T\d{6}Z)/g],
];

/**
 * The command with every placeholder filled: `ses_…` is the id of that kind that the last output with a new one began with,
 * so a page works with what its own commands made. A placeholder for which nothing was printed is an error.
 */
export function fill(command: string, printed: readonly string[], { here }: Places): string {
  let text = command;
  for (const [from, to] of here) text = text.replaceAll(from, to);
  for (const [name, prefix] of Object.entries(NAMED)) text = text.replaceAll(name, () => lastId(prefix, printed));
  for (const [placeholder, source] of TAKEN)
    text = text.replaceAll(
      placeholder,
      (name) => lastMatch(source, printed) ?? refuse(`nothing before it printed what ${name} stands for`),
    );
  text = text.replaceAll(/\b([a-z]+)_[0-9a-z]*…/g, (_, prefix: string) => lastId(prefix, printed));
  if (text.includes('…')) refuse('it has a … that stands for nothing this test knows: name the id’s kind (ses_…), or fill it in stage.ts');
  return text;
}

/** A listing begins with what is newest, and repeats what was printed before. */
function lastId(prefix: string, printed: readonly string[]): string {
  const seen = new Set<string>();
  let found: string | undefined;
  for (const output of printed) {
    const ids = [...output.matchAll(new RegExp(`\\b${prefix}_[0-9A-Za-z]{8,}`, 'g'))].map(([id]) => id);
    found = ids.find((id) => !seen.has(id)) ?? found;
    for (const id of ids) seen.add(id);
  }
  return found ?? refuse(`nothing before it printed an id ${prefix}_…`);
}

function lastMatch(pattern: RegExp, printed: readonly string[]): string | undefined {
  return [...printed.join('\n').matchAll(pattern)].at(-1)?.[1];
}

function refuse(why: string): never {
  throw new Error(why);
}
