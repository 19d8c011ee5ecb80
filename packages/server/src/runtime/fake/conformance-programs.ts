import { once } from 'node:events';
import { EMIT_PATTERN, type Scenario } from '../conformance/scenarios.ts';
import type { FakeProgram } from './process.ts';

/** The suite's scenarios as fake programs; the scenario travels as one JSON argument. */
export const conformancePrograms: Readonly<Record<string, FakeProgram>> = {
  scenario: (io) => runScenario(JSON.parse(io.argv[1] ?? '{}'), io),
};

export function fakeCommand(scenario: Scenario): readonly string[] {
  return scenario.name === 'missing' ? ['no-such-program'] : ['scenario', JSON.stringify(scenario)];
}

async function runScenario(scenario: Scenario, io: Parameters<FakeProgram>[0]): Promise<number> {
  switch (scenario.name) {
    case 'cat':
      return Promise.race([copy(io), untilAborted(io.signal)]);
    case 'exit':
      return scenario.code;
    case 'hello':
      io.stdout.write('hello\n');
      io.stderr.write('warning\n');
      return 0;
    case 'emit':
      io.stdout.write(Buffer.alloc(scenario.bytes, EMIT_PATTERN));
      return 0;
    case 'hang':
      return untilAborted(io.signal);
    case 'stubborn':
      io.stdout.write('ready\n');
      return Promise.withResolvers<number>().promise;
    case 'kill-self':
      return io.killSelf();
    case 'out-of-memory':
      return io.outOfMemory();
    case 'report':
      io.stdout.write(`${JSON.stringify({ args: scenario.args, cwd: io.cwd, value: io.env.CONFORMANCE })}\n`);
      return 0;
    case 'missing':
      return 127;
  }
}

async function copy({ stdin, stdout }: Parameters<FakeProgram>[0]): Promise<number> {
  for await (const chunk of stdin) if (!stdout.write(chunk)) await once(stdout, 'drain');
  return 0;
}

async function untilAborted(signal: AbortSignal): Promise<never> {
  await once(signal, 'abort');
  throw signal.reason;
}
