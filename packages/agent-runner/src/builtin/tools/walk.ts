import { readdirSync } from 'node:fs';
import path from 'node:path';

/** Not entered unless asked for by name: they are large and not the agent's own work. */
const SKIPPED = ['.git', 'node_modules'];

export interface WalkOptions {
  /** What the caller asked for; a skipped directory that it names is entered. */
  readonly asked: string;
  readonly maxEntries: number;
}

/**
 * Files below a directory, as paths from it, in order of name. Links are not followed. The generator
 * returns true when it stopped at the limit.
 */
export function* walk(root: string, { asked, maxEntries }: WalkOptions): Generator<string, boolean> {
  const skipped = new Set(SKIPPED.filter((name) => !asked.split(/[/,{}]/).includes(name)));
  const pending = [''];
  let seen = 0;
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const entries = listDirectory(path.join(root, directory));
    const below: string[] = [];
    for (const entry of entries) {
      if (++seen > maxEntries) return true;
      const place = directory === '' ? entry.name : `${directory}/${entry.name}`;
      if (!entry.isDirectory()) yield place;
      else if (!skipped.has(entry.name)) below.push(place);
    }
    pending.push(...below.reverse());
  }
  return false;
}

function listDirectory(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    // It went away or may not be read: the search goes on without it, as find and grep do.
    return [];
  }
}
