import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Logger } from '../base/log.ts';
import { DOCTOR_INSTALLATION } from '../core/doctor-installation.ts';

/** Whose containers the broker handles. */
export interface OwnInstallation {
  /** True for the installation that is served; the first that is ever named becomes it. */
  claim(installation: string): boolean;
  /** As `claim`, without the right to become it. */
  is(installation: string | undefined): boolean;
  /** Undefined until one was claimed. */
  name(): string | undefined;
}

/**
 * Remembers the first installation that speaks, in a file that only the broker can write: a server that was taken
 * over later cannot become another one, whose containers it would then reach.
 */
export function pinInstallation(options: { readonly file: string | undefined; readonly log: Logger }): OwnInstallation {
  const { file, log } = options;
  let pinned = file === undefined ? undefined : readPin(file);
  const is = (installation: string | undefined) =>
    installation !== undefined && (installation === pinned || installation === DOCTOR_INSTALLATION);
  return {
    is,
    name: () => pinned,
    claim(installation) {
      if (is(installation)) return true;
      if (pinned !== undefined || installation === '') return false;
      if (file !== undefined) writeFileSync(file, installation, { mode: 0o600, flag: 'wx' });
      pinned = installation;
      log.info({ installation, file }, 'this installation is served from now on');
      return true;
    },
  };
}

/** Makes the next broker that starts take the first installation that speaks. Returns the one that was remembered. */
export function forgetPinned(file: string): string | undefined {
  const pinned = readPin(file);
  rmSync(file, { force: true });
  return pinned;
}

function readPin(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
