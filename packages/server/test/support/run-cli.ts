import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { programEnvironment } from '../../../../test/support/program-environment.ts';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const MAIN = path.resolve(import.meta.dirname, '../../src/cli/main.ts');

/** Runs `cloister` in a process of its own, with these settings and no others. */
export async function runCli(env: Readonly<Record<string, string>>, args: readonly string[], stdin?: Uint8Array): Promise<CliResult> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...programEnvironment(), ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  // A command that reads nothing may have ended by then.
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin ?? '');
  const [code] = await once(child, 'close');
  return { code, stdout: Buffer.concat(chunks), stderr };
}
