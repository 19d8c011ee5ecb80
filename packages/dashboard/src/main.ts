import { createClient } from '@cloister/api';
import { openApp } from './app.ts';
import { isKeyRefused } from './failure.ts';
import { showSignIn } from './sign-in.ts';

/** In this tab only, so that closing it signs out. */
const KEY_NAME = 'cloister.key';

async function main(root: HTMLElement): Promise<void> {
  const open = async (key: string) => {
    const client = createClient({ url: '', key, fetch: (...args) => fetch(...args) });
    await client.status();
    sessionStorage.setItem(KEY_NAME, key);
    const session = new AbortController();
    await openApp(root, client, session.signal, (why) => {
      session.abort();
      sessionStorage.removeItem(KEY_NAME);
      showSignIn(root, open, why);
    });
  };
  const key = sessionStorage.getItem(KEY_NAME);
  if (key === null) return showSignIn(root, open);
  try {
    await open(key);
  } catch (error) {
    if (isKeyRefused(error)) sessionStorage.removeItem(KEY_NAME);
    showSignIn(root, open, error);
  }
}

const root = document.getElementById('app');
if (root !== null) void main(root);
