import { constants } from 'node:os';
import type { ExitReport } from '../driver.ts';

const SIGNAL_NAMES = new Map<number, string>(Object.entries(constants.signals).map(([name, number]) => [number, name]));
export const SIGNAL_BASE = 128;
export const SIGKILL_CODE = SIGNAL_BASE + 9;

/** The engine reports a program that a signal ended as 128 + signal, as shells do. */
export function exitReport(code: number, isOutOfMemory: boolean): ExitReport {
  const signal = code > SIGNAL_BASE ? SIGNAL_NAMES.get(code - SIGNAL_BASE) : undefined;
  return signal === undefined ? { exitCode: code, signal: null, isOutOfMemory } : { exitCode: null, signal, isOutOfMemory };
}
