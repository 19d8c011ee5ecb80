// What a build may weigh and contain. `scripts/report.ts` prints what it is and fails above a limit. A limit is
// what a review should look at, not what would break: raise it in the change that needs it.

const KIB = 1024;
const MIB = 1024 * KIB;

/** Bytes, by the report's name for it. */
export const SIZE_LIMITS = {
  'server bundle': 7 * MIB,
  'server bundle, gzip': 1.75 * MIB,
  'sandbox programs': 3 * MIB,
  dashboard: 1 * MIB,
  'npm package': 4 * MIB,
  /** With gzip, as it is on the wire: 80 MB. */
  'server image, compressed': 80_000_000,
  /** Uncompressed, what the image adds to its base; the base is the operator's choice. */
  'sandbox image minimal over its base': 4 * MIB,
  'sandbox image default over its base': 160 * MIB,
} as const;

/** What of a package of ours may stand on; any other needs a decision, and then a line here. */
export const ALLOWED_LICENCES: ReadonlySet<string> = new Set(['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT']);

/** All that a packed `cloister` may hold, as patterns on the paths in it. */
export const PACKAGE_CONTENTS: readonly RegExp[] = [
  /^(package\.json|LICENSE|README\.md|THIRD-PARTY-NOTICES\.txt)$/,
  /^bin\/cloister\.cjs$/,
  /^dist\/[\w-]+\.mjs$/,
  /^dist\/assets\/dashboard\/[\w-]+\.(html|css|js)$/,
  /^dist\/assets\/docs\/[\w-]+\.(html|css|js|txt)$/,
  /^dist\/assets\/sandbox-image\/(Dockerfile|runner\/[\w-]+\.mjs)$/,
];
