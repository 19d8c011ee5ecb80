import { type Client, createClient, type SignInMethods } from '@cloister/api';
import { openApp } from './app.ts';
import { isKeyRefused } from './failure.ts';
import { showJoin, showSignIn } from './sign-in.ts';

/** In this tab only, so that closing it signs out. */
const KEY_NAME = 'cloister.key';
/** That there is a cookie, which scripts cannot see. */
const SIGNED_IN_NAME = 'cloister.signed-in';

const ask: typeof fetch = (...args) => fetch(...args);
const withKey = (key: string): Client => createClient({ url: '', key, fetch: ask });
const withCookie = (): Client => createClient({ url: '', key: undefined, hasCookie: true, fetch: ask });

async function main(root: HTMLElement): Promise<void> {
  const token = /^#\/invitations\/(\w+)$/.exec(location.hash)?.[1];
  if (token !== undefined) return join(root, token);
  // Where an identity provider sends people back to.
  if (location.hash === '#/signed-in') {
    localStorage.setItem(SIGNED_IN_NAME, 'yes');
    location.hash = '';
  }
  const key = sessionStorage.getItem(KEY_NAME);
  const isSignedIn = localStorage.getItem(SIGNED_IN_NAME) !== null;
  if (key === null && !isSignedIn) return askWho(root);
  try {
    await (key === null ? openSignedIn(root) : openWithKey(root, key));
  } catch (error) {
    if (isKeyRefused(error)) forget();
    await askWho(root, key === null && isKeyRefused(error) ? undefined : error);
  }
}

async function askWho(root: HTMLElement, why?: unknown): Promise<void> {
  const client = withCookie();
  const ways = {
    withKey: (key: string) => openWithKey(root, key),
    withPassword: async (email: string, password: string) => {
      await client.signIn.withPassword({ email, password });
      await openSignedIn(root);
    },
  };
  showSignIn(root, { ...ways, methods: await methodsOf(client) }, why);
}

/** A server that does not say has keys at least. */
async function methodsOf(client: Client): Promise<SignInMethods | undefined> {
  try {
    return await client.signIn.methods();
  } catch {
    return undefined;
  }
}

function join(root: HTMLElement, token: string): void {
  showJoin(root, async (name, password) => {
    await withCookie().signIn.accept({ token, name, password });
    // The link is used up.
    location.hash = '';
    await openSignedIn(root);
  });
}

async function openWithKey(root: HTMLElement, key: string): Promise<void> {
  const client = withKey(key);
  await client.status();
  sessionStorage.setItem(KEY_NAME, key);
  await openFor(root, client, async () => undefined);
}

async function openSignedIn(root: HTMLElement): Promise<void> {
  const client = withCookie();
  await client.status();
  localStorage.setItem(SIGNED_IN_NAME, 'yes');
  await openFor(root, client, async () => {
    await client.signIn.end();
  });
}

async function openFor(root: HTMLElement, client: Client, end: () => Promise<void>): Promise<void> {
  const session = new AbortController();
  const leave = async (why?: unknown): Promise<void> => {
    session.abort();
    forget();
    try {
      if (why === undefined) await end();
      await askWho(root, why);
    } catch (error) {
      await askWho(root, isKeyRefused(error) ? undefined : error);
    }
  };
  await openApp(root, client, session.signal, (why) => void leave(why));
}

function forget(): void {
  sessionStorage.removeItem(KEY_NAME);
  localStorage.removeItem(SIGNED_IN_NAME);
}

const root = document.getElementById('app');
if (root !== null) void main(root);
