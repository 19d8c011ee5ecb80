import type { Answer, TestServer } from './server.ts';

/** A browser as far as signing in goes: it keeps cookies, and sends what pages send. */
export interface TestBrowser {
  send(method: string, route: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  readonly cookies: Map<string, string>;
  /** The last `Set-Cookie` lines. */
  readonly setCookies: () => readonly string[];
}

export function testBrowser(server: Pick<TestServer, 'url'>): TestBrowser {
  const cookies = new Map<string, string>();
  let lines: readonly string[] = [];
  return {
    cookies,
    setCookies: () => lines,
    async send(method, route, body, headers = { 'x-cloister-csrf': '1' }) {
      const response = await fetch(`${server.url}${route}`, {
        method,
        redirect: 'manual',
        headers: {
          cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      lines = response.headers.getSetCookie();
      for (const line of lines) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        if (value === '' || /max-age=0/i.test(line)) cookies.delete(name);
        else cookies.set(name, value);
      }
      const text = await response.text();
      return { status: response.status, headers: response.headers, body: text === '' || !text.startsWith('{') ? text : JSON.parse(text) };
    },
  };
}
