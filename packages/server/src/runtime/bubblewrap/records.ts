import { constants } from 'node:os';
import type { ExitReport, SandboxLabels, SandboxRef, SandboxSpec } from '../driver.ts';

/** Whose a sandbox is: written when it is made, and repeated where it says how it ended. */
export interface Owner {
  readonly ref: SandboxRef;
  readonly labels: SandboxLabels;
  readonly createdAt: number;
}

export interface ExitRecord {
  readonly owner: Owner;
  readonly report: ExitReport;
}

// Only this driver and its own script write these files, in a directory closed to others, so they hold what the types say.

export function parseOwner(text: string): Owner {
  return JSON.parse(text) as Owner;
}

export function parseSpec(text: string): SandboxSpec {
  return JSON.parse(text) as SandboxSpec;
}

/** Two lines: the owner, then the code as a shell has it and whether the kernel killed something for memory. */
export function parseExit(text: string): ExitRecord | undefined {
  const [owner = '', outcome = ''] = text.split('\n');
  const [, code, killed] = /^(\d+) ([01])$/.exec(outcome) ?? [];
  if (code === undefined) return undefined;
  return { owner: parseOwner(owner), report: exitReport(Number(code), killed === '1') };
}

const SIGNAL_NAMES = new Map<number, string>(Object.entries(constants.signals).map(([name, number]) => [number, name]));
const SIGNAL_BASE = 128;
export const SIGKILL_CODE = SIGNAL_BASE + constants.signals.SIGKILL;

function exitReport(code: number, isOutOfMemory: boolean): ExitReport {
  const signal = code > SIGNAL_BASE ? SIGNAL_NAMES.get(code - SIGNAL_BASE) : undefined;
  return signal === undefined ? { exitCode: code, signal: null, isOutOfMemory } : { exitCode: null, signal, isOutOfMemory };
}

/** How a process that we see ourselves ended, as a shell would say it. */
export function shellCode(code: number | null, signal: NodeJS.Signals | null): number {
  return signal === null ? (code ?? SIGKILL_CODE) : SIGNAL_BASE + constants.signals[signal];
}
