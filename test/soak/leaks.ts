import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import type { Store } from '../../packages/server/src/store/store.ts';

/** With the fewest messages of a test still far above what the allocator may keep. */
const LEAKED_BYTES = 16 * 2 ** 20;
/** Everything that leaks stays reachable from here. */
const kept: unknown[] = [];
const children: ChildProcess[] = [];

const LEAKS: Readonly<Record<string, (dataDir: string) => void>> = {
  files: () => void kept.push(openSync('/dev/null', 'r')),
  memory: () => void kept.push(Buffer.alloc(LEAKED_BYTES, 1)),
  // Its own child ends at once and is never asked about: a zombie.
  processes: () => void children.push(spawn('sh', ['-c', 'true & exec sleep 600'], { stdio: 'ignore' })),
  sockets: (dataDir) => {
    mkdirSync(path.join(dataDir, 'run'), { recursive: true });
    kept.push(createServer().listen(path.join(dataDir, 'run', `leak-${kept.length}.sock`)));
  },
};

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** A store beside which something leaks with each message, to show that the soak finds it. */
export function leaking(kinds: readonly string[], dataDir: string): (store: Store) => Store {
  const leaks = kinds.map((kind) => {
    const leak = LEAKS[kind];
    if (leak === undefined) throw new Error(`there is no leak ${kind}`);
    return leak;
  });
  return (store) => ({
    ...store,
    turns: {
      ...store.turns,
      accept: (input) => {
        for (const leak of leaks) leak(dataDir);
        return store.turns.accept(input);
      },
    },
  });
}
