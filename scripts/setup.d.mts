import type { SpawnOptions } from 'node:child_process';

export const root: string;
export class SetupError extends Error {}
export function runScript(name: string, main: () => Promise<number>): Promise<void>;
export function ensureInstalled(): Promise<void>;
export function requireNode24(): Promise<string>;
export function run(command: string, args: readonly string[], options?: SpawnOptions): Promise<number>;
