import { existsSync } from 'node:fs';
import path from 'node:path';

/**
 * Where the server finds the files it reads at run time. In the bundle they lie in `assets/` beside
 * it (`scripts/build.ts` puts them there); in development each lies where it is made.
 */
export interface Assets {
  /** The API documentation page: `rapidoc-min.js` and its licence. */
  readonly docs: string;
  /** The built dashboard: `index.html`, `app.js`, `style.css`. */
  readonly dashboard: string;
  /** Holds the `Dockerfile` of the sandbox image. */
  readonly sandboxImage: string;
  /** The programs that run inside the sandbox, `*.mjs`; copied into the image. */
  readonly sandboxRunner: string;
}

export function findAssets(here: string = import.meta.dirname): Assets {
  const bundled = path.join(here, 'assets');
  if (existsSync(bundled)) {
    const sandboxImage = path.join(bundled, 'sandbox-image');
    return {
      docs: path.join(bundled, 'docs'),
      dashboard: path.join(bundled, 'dashboard'),
      sandboxImage,
      sandboxRunner: path.join(sandboxImage, 'runner'),
    };
  }
  const packages = path.resolve(here, '..', '..');
  return {
    docs: path.join(packages, 'server', 'vendor', 'rapidoc'),
    dashboard: path.join(packages, 'dashboard', 'dist'),
    sandboxImage: path.join(packages, 'agent-runner', 'image'),
    sandboxRunner: path.join(packages, 'agent-runner', 'dist'),
  };
}
