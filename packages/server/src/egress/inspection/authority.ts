import { chmod, copyFile, link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { newUnique } from '../../base/ids.ts';
import { CA_BUNDLE_FILE, CA_FILE } from '../gateway.ts';
import type { KeyPair } from './certificates.ts';

/** This installation's own certificate authority, for hosts whose TLS is looked into. Only sandboxes trust it. */
export interface Authority {
  /** Puts the certificate, alone and among the public ones, where a sandbox can read it. The key stays outside. */
  handOut(directory: string): Promise<void>;
  contextFor(host: string): Promise<SecureContext>;
}

export interface AuthorityOptions {
  readonly dataDir: string;
  readonly clock: Clock;
}

const LEAF_MS = 7 * 24 * 3600 * 1000;
const MAX_LEAVES = 1000;

interface Leaf {
  readonly until: number;
  readonly context: Promise<SecureContext>;
}

/** Makes nothing yet: the key comes into being with the first sandbox. */
export function createAuthority({ dataDir, clock }: AuthorityOptions): Authority {
  const directory = path.join(dataDir, 'egress-ca');
  const leaves = new Map<string, Leaf>();
  let opening: Promise<KeyPair> | undefined;

  const open = () => {
    opening ??= openAuthority(directory, clock.now()).catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return opening;
  };

  async function makeContext(host: string): Promise<SecureContext> {
    const authority = await open();
    const { makeLeaf } = await import('./certificates.ts');
    const leaf = await makeLeaf(authority, host, LEAF_MS, clock.now());
    return createSecureContext({ key: leaf.key, cert: leaf.certificate, minVersion: 'TLSv1.2' });
  }

  return {
    async handOut(target) {
      await open();
      for (const name of [CA_FILE, CA_BUNDLE_FILE]) await share(path.join(directory, name), path.join(target, name));
    },
    contextFor(host) {
      const known = leaves.get(host);
      if (known !== undefined && known.until > clock.now()) return known.context;
      const context = makeContext(host);
      leaves.delete(host);
      // Used for half its time only: a sandbox's clock may be ahead.
      leaves.set(host, { until: clock.now() + LEAF_MS / 2, context });
      context.catch(() => leaves.delete(host));
      const [oldest] = leaves.keys();
      if (leaves.size > MAX_LEAVES && oldest !== undefined) leaves.delete(oldest);
      return context;
    },
  };
}

/** Servers that share the directory agree on one authority: whoever links its file first has made it. */
async function openAuthority(directory: string, now: number): Promise<KeyPair> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = path.join(directory, 'authority.pem');
  const found = await readAuthority(file);
  const authority = found ?? (await makeAuthorityFile(file, now));
  await writeWhole(path.join(directory, CA_FILE), authority.certificate, 0o644);
  const bundle = [...getCACertificates('default'), authority.certificate].join('\n');
  await writeWhole(path.join(directory, CA_BUNDLE_FILE), bundle, 0o644);
  return authority;
}

async function makeAuthorityFile(file: string, now: number): Promise<KeyPair> {
  const { makeAuthority } = await import('./certificates.ts');
  const made = await makeAuthority('Cloister egress of this installation', now);
  const draft = `${file}.${newUnique()}`;
  await writeWhole(draft, `${made.key}\n${made.certificate}\n`, 0o600);
  try {
    await link(draft, file);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const kept = await readAuthority(file);
  if (kept === undefined) throw new PlatformError('bug', { cause: new Error(`${file} is gone`) });
  return kept;
}

async function readAuthority(file: string): Promise<KeyPair | undefined> {
  try {
    const { mode } = await stat(file);
    if ((mode & 0o077) !== 0)
      throw new PlatformError('config_invalid', { detail: `${file} holds a key and is open to others: set its mode to 0600.` });
    const text = await readFile(file, 'utf8');
    const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(text)?.[0];
    const certificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(text)?.[0];
    if (key === undefined || certificate === undefined)
      throw new PlatformError('config_invalid', { detail: `${file} is not a key with its certificate: remove it, and a new one is made.` });
    return { key, certificate };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Nobody ever sees half of it. */
async function writeWhole(file: string, text: string, mode: number): Promise<void> {
  const draft = `${file}.${newUnique()}.new`;
  const handle = await open(draft, 'wx', mode);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await chmod(draft, mode);
  await rename(draft, file);
}

/** A link where the file system can, since each sandbox gets the same. */
async function share(source: string, target: string): Promise<void> {
  await rm(target, { force: true });
  try {
    await link(source, target);
  } catch (error) {
    if (!hasCode(error, 'EXDEV') && !hasCode(error, 'EPERM') && !hasCode(error, 'EMLINK')) throw error;
    await copyFile(source, target);
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
