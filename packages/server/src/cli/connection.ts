import { readFileSync } from 'node:fs';
import { type Client, createClient } from '@cloister/api';
import { loadClientConfig } from '../config.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';

/** The running server, with the key from the environment, else the one that the server left in its data directory. */
export function connect(): Client {
  const { url, key, keyFile } = loadClientConfig();
  return createClient({ url, key: key ?? readKeyFile(keyFile) });
}

/** The running server without a key: enough to ask for its health. */
export function connectWithoutKey(): { readonly url: string; readonly client: Client } {
  const { url } = loadClientConfig();
  return { url, client: createClient({ url, key: undefined }) };
}

function readKeyFile(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new CommandError(
      EXIT.refused,
      {
        title: 'There is no API key to use.',
        detail: `CLOISTER_API_KEY is not set, and ${file} cannot be read.`,
        fix: 'Run this where the server runs, with the same DATA_DIR (`npm start` makes the first key), or set CLOISTER_API_KEY.',
      },
      cause,
    );
  }
}
