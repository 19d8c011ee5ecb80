import { mkdirSync, statSync } from 'node:fs';
import module from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';

const WRITABLE_BY_OTHERS = 0o022;

/**
 * Keeps what Node compiles of the bundle, so that the next start need not. Whoever can write there decides what is run,
 * so it is a directory of this user's alone, never the common one that is Node's default; where there is none, such as
 * on a read-only root, every start compiles. NODE_COMPILE_CACHE names another, NODE_DISABLE_COMPILE_CACHE turns it off.
 */
export function keepCompiled(): void {
  // Sources are compiled by who develops, and under their own settings.
  if (module.getCompileCacheDir() !== undefined || !import.meta.filename.endsWith('.mjs')) return;
  const directory = privateDirectory();
  if (directory !== undefined) module.enableCompileCache(directory);
}

function privateDirectory(): string | undefined {
  try {
    const directory = path.join(homedir(), '.cache', 'cloister', 'compiled');
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { uid, mode } = statSync(directory);
    const isOurs = process.getuid === undefined || (uid === process.getuid() && (mode & WRITABLE_BY_OTHERS) === 0);
    return isOurs ? directory : undefined;
  } catch {
    // A user without a home, or one that cannot be written to: the cache only ever saves time.
    return undefined;
  }
}
