import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { newCallbackToken } from '../base/ids.ts';
import type { SandboxMount } from '../runtime/driver.ts';
import { removeIn } from '../sandboxes/directories.ts';

/** What a service keeps between its containers, and what it is told: seen inside as `/data` and `/run/cloister`. */
export interface ServiceFiles {
  readonly mounts: readonly SandboxMount[];
  /** Of the callback token that the container finds in `/run/cloister/callback-token`. */
  readonly callbackHash: string;
  /** Where the relays of its port meet; no mount of the service's own. */
  readonly relayDirectory: string;
}

export const CALLBACK_SOCKET = 'callback.sock';

export function serviceDirectory(dataDir: string, id: string): string {
  return path.join(dataDir, 'services', id);
}

/** Keeps the data, and puts a new token in the place of the former one. Nothing in `data` is ever opened by us. */
export async function prepareFiles(dataDir: string, id: string, uid: number): Promise<ServiceFiles> {
  const root = serviceDirectory(dataDir, id);
  const [data, run, relayDirectory] = [path.join(root, 'data'), path.join(root, 'run'), path.join(root, 'port')];
  await mkdir(root, { recursive: true, mode: 0o700 });
  const isRoot = process.getuid?.() === 0;
  // Who is not root cannot give a directory away: then it is open to all behind the closed one around it.
  if ((await mkdir(data, { recursive: true, mode: isRoot ? 0o700 : 0o777 })) !== undefined && isRoot) await chown(data, uid, uid);
  await mkdir(run, { recursive: true, mode: 0o755 });
  await mkdir(relayDirectory, { recursive: true });
  // The relays are nobody on the host; who else is there stands before the closed directory around it.
  await chmod(relayDirectory, 0o777);
  const token = newCallbackToken();
  const draft = path.join(root, 'callback-token.new');
  await writeFile(draft, token, { mode: isRoot ? 0o400 : 0o444 });
  if (isRoot) await chown(draft, uid, uid);
  await rename(draft, path.join(run, 'callback-token'));
  return {
    mounts: [
      { hostPath: data, path: '/data', isReadOnly: false },
      { hostPath: run, path: '/run/cloister', isReadOnly: true },
    ],
    callbackHash: hashCallbackToken(token),
    relayDirectory,
  };
}

export async function removeFiles(dataDir: string, id: string): Promise<void> {
  const directory = serviceDirectory(dataDir, id);
  await removeIn(path.dirname(directory), path.basename(directory));
}

/** 256 random bits need no slow hash. */
export function hashCallbackToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
