// Bundles the page into dist/: index.html, app.js, style.css. Nothing of it is inline, so that the
// content security policy can forbid inline code.
import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { build } from 'esbuild';

export const DASHBOARD_DIST = path.join(import.meta.dirname, 'dist');

export async function buildDashboard(): Promise<void> {
  const source = path.join(import.meta.dirname, 'src');
  await mkdir(DASHBOARD_DIST, { recursive: true });
  await Promise.all([
    copyFile(path.join(source, 'index.html'), path.join(DASHBOARD_DIST, 'index.html')),
    build({
      entryPoints: { app: path.join(source, 'main.ts'), style: path.join(source, 'style.css') },
      outdir: DASHBOARD_DIST,
      bundle: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2023',
      minify: true,
      sourcemap: 'linked',
      legalComments: 'none',
      logLevel: 'warning',
    }),
  ]);
}
