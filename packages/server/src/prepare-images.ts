import type { Readable } from 'node:stream';
import { type Assets, findAssets } from './assets.ts';
import { silentLogger } from './base/log.ts';
import { chooseRuntime } from './choose-runtime.ts';
import type { Config } from './config.ts';
import { ensureDefaultImage } from './runtime/default-image.ts';
import { ensureSandboxImage, packSandboxContext, SANDBOX_IMAGE_VARIANTS, sandboxImageTag } from './runtime/image.ts';

/** Makes the sandbox image that the default harness needs, when it is not there or out of date. */
export async function prepareSandboxImages(input: {
  readonly config: Config;
  readonly assets: Assets;
  readonly print: (line: string) => void;
}): Promise<void> {
  const { config, assets, print } = input;
  if (config.runtime === 'fake') return;
  const { driver, engine } = await chooseRuntime(config, { log: silentLogger });
  await driver.close();
  // Without images the programs are mounted as they are.
  if (engine === undefined) return;
  const variants = config.defaultHarness === 'claude' ? (['default', 'claude'] as const) : (['default'] as const);
  for (const variant of variants) {
    if (variant === 'default' && config.sandboxImage !== undefined) continue;
    const tag = sandboxImageTag(variant);
    let isAnnounced = false;
    const request = {
      tag,
      engine,
      recipeDir: assets.sandboxImage,
      runnerDir: assets.sandboxRunner,
      onProgress(line: string) {
        if (!isAnnounced) print(`Making the sandbox image ${tag} (once):`);
        isAnnounced = true;
        print(`  ${line}`);
      },
    };
    if (variant === 'default') await ensureDefaultImage({ ...request, warn: (line) => print(`Warning: ${line}`) });
    else await ensureSandboxImage({ ...request, variant });
  }
}

/** What the engine's builder makes a sandbox image from, as a tar; for all variants when none is named. */
export async function sandboxImageContext(
  asked?: string,
): Promise<{ readonly type: 'context'; readonly tar: Readable } | { readonly type: 'unknown'; readonly variants: readonly string[] }> {
  const variant = SANDBOX_IMAGE_VARIANTS.find((one) => one === asked);
  if (asked !== undefined && variant === undefined) return { type: 'unknown', variants: SANDBOX_IMAGE_VARIANTS };
  const { sandboxImage: recipeDir, sandboxRunner: runnerDir } = findAssets();
  return { type: 'context', tar: await packSandboxContext({ variant, recipeDir, runnerDir }) };
}
