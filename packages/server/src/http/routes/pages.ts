import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isProblemCode, PROBLEMS } from '@cloister/api';
import { PlatformError } from '../../base/errors.ts';
import type { RouteTable } from '../openapi.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** RapiDoc styles its shadow roots with style elements; scripts come from our own files alone. */
const DOCS_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const DASHBOARD_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/** The pages: static files without data, so they need no key; what they show they fetch with the user's. */
export function pageRoutes({ app, deps }: RouteTable): void {
  // What a problem document's `type` points at.
  app.get('/docs/problems/:code', (c) => {
    const code = c.req.param('code');
    if (!isProblemCode(code)) throw new PlatformError('route_not_found', { detail: `There is no problem "${code.slice(0, 80)}".` });
    return c.text(`${code}\n\n${PROBLEMS[code].title}\nFix: ${PROBLEMS[code].fix}\n`);
  });
  // A program that asks is told where things are, a browser is brought to the dashboard.
  app.get('/', (c) => {
    if ((c.req.header('accept') ?? '').includes('text/html')) return c.redirect('/dashboard/');
    return c.json({ name: 'Cloister', version: deps.version, docs: '/docs', health: '/health' });
  });
  for (const [base, directory, csp] of [
    ['/dashboard', deps.assets.dashboard, DASHBOARD_CSP],
    ['/docs', deps.assets.docs, DOCS_CSP],
  ] as const) {
    app.get(base, (c) => c.redirect(`${base}/`));
    app.on('GET', [`${base}/`, `${base}/:file`], async (c) => {
      const name = c.req.param('file') ?? '';
      const { body, type } = await readAsset(directory, name === '' ? 'index.html' : name);
      return c.body(new Uint8Array(body), 200, { 'Content-Type': type, 'Content-Security-Policy': csp, 'Cache-Control': 'no-cache' });
    });
  }
}

/** Names are flat: a file of the directory itself or nothing. */
async function readAsset(directory: string, name: string): Promise<{ body: Buffer; type: string }> {
  const type = TYPES[path.extname(name)];
  const missing = new PlatformError('route_not_found', { detail: `There is no page "${name.slice(0, 80)}".` });
  if (type === undefined || !/^[\w.-]+$/.test(name) || name.startsWith('.')) throw missing;
  try {
    return { body: await readFile(path.join(directory, name)), type };
  } catch (cause) {
    throw new PlatformError('route_not_found', { detail: `${missing.detail} The pages are made by \`npm run build\`.`, cause });
  }
}
