import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');

/** What is measured is what `npm start` runs: the build, fresh. */
export async function build(): Promise<void> {
  const child = spawn(process.execPath, ['scripts/build.ts', '--quiet'], { cwd: root, stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error('the build failed');
}
