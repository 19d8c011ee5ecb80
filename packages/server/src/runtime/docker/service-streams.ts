import { StringDecoder } from 'node:string_decoder';
import { PlatformError } from '../../base/errors.ts';
import { asJsonObject, isJsonObject, type JsonValue } from '../../base/json.ts';
import type { ContainerStats, LogLine, ServiceRef } from '../services.ts';
import type { DockerContext } from './context.ts';
import { createFrameReader } from './demux.ts';
import { unexpectedAnswer } from './failures.ts';
import { readJsonLines } from './json-lines.ts';
import { relayName } from './service-relay.ts';

/** A line without end is cut here, so that it costs no memory. */
const MAX_LINE_CHARACTERS = 64 * 1024;

/** Lines as the engine keeps them. A reader who takes his time holds up the engine's connection, nothing else. */
export async function* serviceLogs(
  docker: DockerContext,
  ref: ServiceRef,
  { tail, follow, signal }: { readonly tail: number; readonly follow: boolean; readonly signal: AbortSignal },
): AsyncGenerator<LogLine> {
  const query = { stdout: 1, stderr: 1, timestamps: 1, tail, follow: follow ? 1 : 0 };
  const { status, body } = await docker.engine.open({ method: 'GET', path: `/containers/${ref.handle}/logs`, query, signal });
  if (status !== 200) {
    body.destroy();
    if (status === 404) throw new PlatformError('service_not_running');
    throw unexpectedAnswer("read a service's log", { status, message: '' });
  }
  const lines: LogLine[] = [];
  const outputs = { stdout: createLines('stdout', lines), stderr: createLines('stderr', lines) };
  const frames = createFrameReader((stream, chunk) => outputs[stream].push(chunk));
  for await (const chunk of body) {
    frames.push(chunk);
    yield* lines.splice(0);
  }
  outputs.stdout.end();
  outputs.stderr.end();
  yield* lines;
}

interface Lines {
  push(chunk: Buffer): void;
  end(): void;
}

function createLines(stream: LogLine['stream'], sink: LogLine[]): Lines {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const add = (line: string) => {
    const [, at = '', text = ''] = /^(\S+) (.*)$/s.exec(line) ?? ['', '', line];
    sink.push({ stream, at, text });
  };
  return {
    push(chunk) {
      const parts = (rest + decoder.write(chunk)).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) add(part);
      if (rest.length > MAX_LINE_CHARACTERS) {
        add(rest);
        rest = '';
      }
    },
    end() {
      rest += decoder.end();
      if (rest !== '') add(rest);
    },
  };
}

export async function* serviceStats(docker: DockerContext, ref: ServiceRef, signal: AbortSignal): AsyncGenerator<ContainerStats> {
  const query = { stream: 1 };
  const { status, body } = await docker.engine.open({ method: 'GET', path: `/containers/${ref.handle}/stats`, query, signal });
  if (status !== 200) {
    body.destroy();
    if (status === 404) throw new PlatformError('service_not_running');
    throw unexpectedAnswer("read a service's statistics", { status, message: '' });
  }
  const done = new AbortController();
  let traffic: Traffic | undefined;
  try {
    for await (const line of readJsonLines(body)) {
      const stats = parseStats(line);
      if (stats === undefined) continue;
      const isQuiet = stats.receivedBytes + stats.sentBytes === 0;
      // One without a card has its clients at its outer relay's; engines say differently that there is no card.
      if (isQuiet) traffic ??= followTraffic(docker, relayName(ref.handle, 'outer'), AbortSignal.any([signal, done.signal]));
      yield isQuiet && traffic !== undefined ? { ...stats, ...traffic.latest() } : stats;
    }
  } finally {
    done.abort();
    await traffic?.ended;
  }
}

interface Traffic {
  latest(): Pick<ContainerStats, 'receivedBytes' | 'sentBytes'>;
  readonly ended: Promise<void>;
}

function followTraffic(docker: DockerContext, container: string, signal: AbortSignal): Traffic {
  let latest = { receivedBytes: 0, sentBytes: 0 };
  async function follow(): Promise<void> {
    const query = { stream: 1 };
    const { status, body } = await docker.engine.open({ method: 'GET', path: `/containers/${container}/stats`, query, signal });
    if (status !== 200) return void body.destroy();
    for await (const line of readJsonLines(body)) {
      const { receivedBytes, sentBytes } = parseStats(line) ?? latest;
      latest = { receivedBytes, sentBytes };
    }
  }
  const ended = follow().catch((error: unknown) => {
    if (!signal.aborted) docker.log.debug({ err: error }, "a relay's statistics broke off");
  });
  return { latest: () => latest, ended };
}

/** Undefined for a line without numbers, as engines send when a container has ended. */
export function parseStats(line: JsonValue): ContainerStats | undefined {
  const now = asJsonObject(line);
  const memory = asJsonObject(now.memory_stats);
  if (typeof now.read !== 'string' || typeof memory.usage !== 'number') return undefined;
  const [cpu, before] = [asJsonObject(now.cpu_stats), asJsonObject(now.precpu_stats)];
  const used = number(asJsonObject(cpu.cpu_usage).total_usage) - number(asJsonObject(before.cpu_usage).total_usage);
  const passed = number(cpu.system_cpu_usage) - number(before.system_cpu_usage);
  const isFirst = typeof before.system_cpu_usage !== 'number';
  const networks = Object.values(asJsonObject(now.networks)).filter(isJsonObject);
  const sum = (name: string) => networks.reduce((total, network) => total + number(network[name]), 0);
  const detail = asJsonObject(memory.stats);
  return {
    at: now.read,
    cpuPercent: isFirst || passed <= 0 ? 0 : Math.round((used / passed) * (number(cpu.online_cpus) || 1) * 10_000) / 100,
    // Files that are only cached go when somebody needs the memory. cgroup 1 has another name for it.
    memoryBytes: Math.max(0, memory.usage - number(detail.inactive_file ?? detail.total_inactive_file)),
    memoryLimitBytes: number(memory.limit),
    pids: number(asJsonObject(now.pids_stats).current),
    receivedBytes: sum('rx_bytes'),
    sentBytes: sum('tx_bytes'),
  };
}

function number(value: JsonValue | undefined): number {
  return typeof value === 'number' ? value : 0;
}
