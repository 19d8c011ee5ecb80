// The other side of cli-process.ts: does what src/cli/main.ts does, for each message.
import { reportError } from '../../src/cli/errors.ts';
import { createProgram } from '../../src/cli/program.ts';

export interface CliAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Call {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

function capture(stream: NodeJS.WriteStream): () => string {
  const write = stream.write.bind(stream);
  let text = '';
  // Of the forms of `write`, those that the command line uses.
  stream.write = ((chunk: string | Uint8Array, encoding?: unknown, done?: unknown) => {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
    for (const one of [encoding, done]) if (typeof one === 'function') one();
    return true;
  }) as typeof stream.write;
  return () => {
    stream.write = write;
    return text;
  };
}

async function run({ args, env }: Call): Promise<CliAnswer> {
  const before = { ...process.env };
  Object.assign(process.env, env);
  process.exitCode = 0;
  const [stdout, stderr] = [capture(process.stdout), capture(process.stderr)];
  try {
    await (await createProgram((name) => name === args[0])).parseAsync([...args], { from: 'user' });
  } catch (error) {
    process.exitCode = reportError(error);
  }
  const code = Number(process.exitCode);
  process.exitCode = 0;
  for (const name of Object.keys(env)) delete process.env[name];
  Object.assign(process.env, before);
  return { code, stdout: stdout(), stderr: stderr() };
}

let last: Promise<unknown> = Promise.resolve();
process.on('message', (call: Call) => {
  last = last.then(async () => process.send?.(await run(call)));
});
