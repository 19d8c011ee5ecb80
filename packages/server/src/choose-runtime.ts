import path from 'node:path';
import { findAssets } from './assets.ts';
import type { Logger } from './base/log.ts';
import type { Config } from './config.ts';
import { CLAUDE_DIRECTORY } from './harness/claude.ts';
import { SANDBOX_RUNNER } from './harness/harness.ts';
import type { FakeProgram } from './runtime/fake/process.ts';
import { sandboxImageTag } from './runtime/image.ts';
import { type ChosenRuntime, selectRuntime } from './runtime/select.ts';

/** The runtime that the configuration asks for, or the best there is. */
export function chooseRuntime(
  config: Config,
  options: { readonly log: Logger; readonly fakePrograms?: Readonly<Record<string, FakeProgram>> },
): Promise<ChosenRuntime> {
  const { runtime: choice, dockerHost, dockerCertPath, runtimeDir, dataDir, hostDataDir } = config;
  // What the image carries otherwise: our own programs, and Anthropic's agent where the operator has installed it.
  const programs = { [SANDBOX_RUNNER]: findAssets().sandboxRunner, [CLAUDE_DIRECTORY]: CLAUDE_DIRECTORY };
  const networkHolders = { size: config.networkHolders, image: config.sandboxImage ?? sandboxImageTag('default') };
  const bubblewrap = { stateDirectory: path.join(dataDir, 'bubblewrap'), programs };
  return selectRuntime({ choice, dockerHost, dockerCertPath, runtimeDir, dataDir, hostDataDir, networkHolders, bubblewrap, ...options });
}
