import { readFile, stat } from 'node:fs/promises';
import { type EgressCredential, egressCredentialsFileSchema } from '@cloister/api';
import { PlatformError } from '../../base/errors.ts';
import { createHostPolicy, type Target } from '../host-policy.ts';

/** What goes into a request, and what must not come back with the answer. */
export interface InjectedCredential {
  /** In lower case. */
  readonly header: string;
  readonly value: string;
  /** The forms of the secret that are taken out of answers. */
  readonly secrets: readonly string[];
}

/** Where the gateway gets credentials from. A policy names one; the source decides to whom and where it goes. */
export interface CredentialSource {
  /** Undefined when there is none of that name for this tenant and host. */
  find(input: { readonly tenantId: string; readonly name: string; readonly target: Target }): Promise<InjectedCredential | undefined>;
}

/** Credentials from the operator's file, which nobody but its owner may read. Throws `config_invalid`. */
export async function readCredentialsFile(file: string): Promise<CredentialSource> {
  const entries = await readEntries(file);
  const known = entries.map((entry) => ({ entry, isFor: createHostPolicy([{ allowedHosts: entry.hosts }]) }));
  return {
    async find({ tenantId, name, target }) {
      const found = known.find(
        ({ entry, isFor }) =>
          entry.name === name && entry.tenants.includes(tenantId) && isFor({ target, method: 'GET', path: '/' }).type === 'allowed',
      );
      return found && injected(found.entry);
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

function injected({ header, template, username, secret }: EgressCredential): InjectedCredential {
  const basic = username === undefined ? undefined : Buffer.from(`${username}:${secret}`).toString('base64');
  const value = basic === undefined ? template.replaceAll('{secret}', () => secret) : `Basic ${basic}`;
  const secrets = [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64'), ...(basic === undefined ? [] : [basic])];
  return { header: header.toLowerCase(), value, secrets: [...new Set(secrets)] };
}
