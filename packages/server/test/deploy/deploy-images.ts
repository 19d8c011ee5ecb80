import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { newUnique } from '../../src/base/ids.ts';
import { ensureServerImage } from '../../src/runtime/image.ts';
import { docker } from '../support/engine.ts';
import { blockOf } from './page.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../../../..');
const STAND_INS = path.join(import.meta.dirname, 'stand-ins');

export interface DeployImages<Name extends string> extends AsyncDisposable {
  readonly server: string;
  /** The smallest one; nothing is fetched for it. */
  readonly sandbox: string;
  readonly standIns: Readonly<Record<Name, string>>;
}

/** The images of an installation under tags of its own, from what `npm run build` made, and others in place of a registry's. */
export async function buildDeployImages<Name extends string>(standIns: readonly Name[]): Promise<DeployImages<Name>> {
  const tag = `deploy-${newUnique().toLowerCase()}`;
  const [server, sandbox] = [`cloister:${tag}`, `cloister-sandbox:${tag}`];
  const others = standIns.map((name) => [name, `cloister-stand-in-${name}:${tag}`] as const);
  const distDir = path.join(ROOT, 'packages/server/dist');
  if (!existsSync(path.join(distDir, 'cloister.mjs'))) await run(process.execPath, [path.join(ROOT, 'scripts/build.ts'), '--quiet']);
  for (const [target, image] of others)
    await run('docker', ['build', '--quiet', '--tag', image, '--target', target, STAND_INS], { timeout: 400_000 });
  await ensureServerImage({ tag: server, recipeDir: ROOT, distDir, onProgress: () => undefined });
  // As the page says; the variant is the one for which nothing is fetched.
  const commands = blockOf('docs/deploy.md', '## With docker run', 'image context');
  const pipeline = commands
    .slice(commands.indexOf('docker run'))
    .replaceAll('cloister:0.1.0', server)
    .replaceAll('cloister-sandbox:0.1.0', sandbox)
    .replaceAll(/(--variant|--target) default/g, '$1 minimal');
  await run('bash', ['-eo', 'pipefail', '-c', pipeline], { timeout: 400_000 });
  return {
    server,
    sandbox,
    standIns: Object.fromEntries(others) as Record<Name, string>, // one for each of the names
    async [Symbol.asyncDispose]() {
      // None is left unless a test failed.
      for (const { id } of await sandboxesOf(sandbox)) await docker('rm', '-f', id);
      await docker('rmi', server, sandbox, ...others.map(([, image]) => image));
    },
  };
}

/** The sandboxes that were made from an image, running or not, each with its node. */
export async function sandboxesOf(image: string): Promise<readonly { readonly id: string; readonly node: string }[]> {
  const lines = (await docker('ps', '-a', '--format', '{{.Image}} {{.ID}} {{.Label "cloister.node"}}')).split('\n');
  return lines.map((line) => line.split(' ')).flatMap(([of, id = '', node = '']) => (of === image ? [{ id, node }] : []));
}
