import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ROOT } from './pages.ts';

const MAIN = path.join(ROOT, 'packages/server/src/cli/main.ts');

/**
 * The programs that pages call and that a test has in another form: Cloister from its sources, `npm start` without the
 * build in front of it, curl as one that fails when it is refused. Everything else is the system's.
 */
export async function writeShims(folder: string, scratch: string): Promise<void> {
  const cloister = `exec '${process.execPath}' '${MAIN}'`;
  const shims: Readonly<Record<string, string>> = {
    cloister: `${cloister} "$@"`,
    node: `exec '${process.execPath}' "$@"`,
    npx: `[ "$1" = cloister ] || { echo "npx $1 is not for this test" >&2; exit 64; }\nshift\n${cloister} "$@"`,
    // Beside the server that the pages talk to: at a port and on data of its own.
    npm: `[ "$*" = start ] || { echo "npm $* is not for this test" >&2; exit 64; }\nPORT=0 DATA_DIR=$(mktemp -d '${scratch}/start-XXXXXX')/data ${cloister} serve`,
    curl: 'exec "$SYSTEM_CURL" --fail-with-body "$@"',
  };
  await mkdir(folder, { recursive: true });
  for (const [name, script] of Object.entries(shims)) {
    await writeFile(path.join(folder, name), `#!/bin/sh\n${script}\n`);
    await chmod(path.join(folder, name), 0o755);
  }
}
