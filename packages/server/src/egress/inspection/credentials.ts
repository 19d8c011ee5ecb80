import { readFile, stat } from 'node:fs/promises';
import { type EgressCredential, egressCredentialsFileSchema } from '@cloister/api';
import { PlatformError } from '../../base/errors.ts';
import { rememberSecret } from '../../base/redaction/redaction.ts';
import { injectedCredential } from '../../core/injected-credential.ts';
import type { CredentialSource } from '../gateway.ts';

/** Credentials from the operator's file, which nobody but its owner may read. Throws `config_invalid`. */
export async function readCredentialsFile(file: string): Promise<CredentialSource> {
  const entries = await readEntries(file);
  for (const { secret } of entries) rememberSecret(secret, { isLasting: true });
  return {
    async find({ tenantId, name, covers }) {
      const found = entries.find((entry) => entry.name === name && entry.tenants.includes(tenantId) && covers(entry.hosts));
      return found && injectedCredential({ ...found, username: found.username ?? null });
    },
  };
}

async function readEntries(file: string): Promise<readonly EgressCredential[]> {
  const invalid = (why: string, cause?: unknown) =>
    new PlatformError('config_invalid', {
      detail: `EGRESS_CREDENTIALS_FILE: ${file} ${why}.`,
      fields: [{ pointer: 'EGRESS_CREDENTIALS_FILE', message: why }],
      cause,
    });
  const read = async () => {
    const { mode } = await stat(file);
    return { mode, text: await readFile(file, 'utf8') };
  };
  const { mode, text } = await read().catch((cause: unknown) => {
    throw invalid('cannot be read', cause);
  });
  if ((mode & 0o077) !== 0) throw invalid('is open to others: set its mode to 0600');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own words would quote the file.
    throw invalid('is not JSON');
  }
  const parsed = egressCredentialsFileSchema.safeParse(value);
  if (parsed.success) return parsed.data.credentials;
  throw invalid(`has a wrong field at ${parsed.error.issues.map((issue) => issue.path.join('/')).join(', ') || 'its top'}`);
}
