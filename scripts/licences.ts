// The licences of all that is shipped: what the bundles of server, sandbox and dashboard are made from. Run as a
// program it prints them, and fails when one is not on the list in gates.ts.
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ALLOWED_LICENCES } from './gates.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
/** The agent's libraries are bundled into its program, and so are no dependencies of what is installed. */
const BUNDLED_DEV = ['packages/agent-runner'];
const SHIPPED = ['packages/server', 'packages/api', 'packages/dashboard', 'packages/agent-runner'];
/** Test programs that stand among the agent's libraries. */
const NOT_SHIPPED = new Set(['@cloister/fake-model']);

interface LockEntry {
  readonly version?: string;
  readonly license?: string;
  readonly link?: boolean;
  readonly resolved?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

export interface ShippedPackage {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** Below the repository. */
  readonly folder: string;
}

/** Every package that a bundle can hold, by name. */
export function shippedPackages(root: string = ROOT): ShippedPackage[] {
  const lock: { packages: Readonly<Record<string, LockEntry>> } = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
  const found = new Map<string, ShippedPackage>();
  const visit = (folder: string, names: readonly string[]): void => {
    for (const name of names) {
      const place = resolve(lock.packages, folder, name);
      const entry = place === undefined ? undefined : lock.packages[place];
      // An optional one of another platform, or a package of our own, which is visited by itself.
      if (place === undefined || entry === undefined || entry.link === true || found.has(place) || NOT_SHIPPED.has(name)) continue;
      found.set(place, { name, version: entry.version ?? '', licence: entry.license ?? 'none', folder: place });
      visit(place, dependenciesOf(entry));
    }
  };
  for (const folder of SHIPPED) {
    const entry = lock.packages[folder] ?? {};
    visit(folder, [...dependenciesOf(entry), ...(BUNDLED_DEV.includes(folder) ? Object.keys(entry.devDependencies ?? {}) : [])]);
  }
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name) || a.version.localeCompare(b.version));
}

function dependenciesOf(entry: LockEntry): string[] {
  return Object.keys({ ...entry.dependencies, ...entry.optionalDependencies });
}

/** Where Node finds the package from there: the nearest node_modules above. */
function resolve(packages: Readonly<Record<string, LockEntry>>, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = path.posix.dirname(folder)) {
    const place = folder === '.' || folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (packages[place] !== undefined) return place;
    if (folder === '.' || folder === '') return undefined;
  }
}

/** Whether one of the licences that a package offers is allowed; of joint ones all have to be. */
export function isAllowedLicence(expression: string): boolean {
  return expression
    .replaceAll(/[()]/g, '')
    .split(/ OR /)
    .some((choice) => choice.split(/ AND /).every((one) => ALLOWED_LICENCES.has(one.trim())));
}

/** The texts that most licences want to be passed on with the program. */
export function thirdPartyNotices(root: string = ROOT): string {
  const parts = shippedPackages(root).map(({ name, version, licence, folder }) => {
    const [file] = existsSync(path.join(root, folder))
      ? globSync('{LICEN[SC]E,license,licence,COPYING}*', { cwd: path.join(root, folder) })
      : [];
    const text = file === undefined ? '' : `\n${readFileSync(path.join(root, folder, file), 'utf8').trim()}\n`;
    return `${name} ${version} (${licence})\n${text}`;
  });
  return `Cloister holds parts of these packages, each under its own licence.\n\n${parts.join(`\n${'-'.repeat(78)}\n`)}`;
}

if (import.meta.main) {
  const packages = shippedPackages();
  for (const [licence, list] of Map.groupBy(packages, (one) => one.licence)) console.log(`${String(list.length).padStart(4)} ${licence}`);
  const refused = packages.filter(({ licence }) => !isAllowedLicence(licence));
  for (const { name, version, licence, folder } of refused)
    console.log(`${name} ${version} (${folder}) is under "${licence}", which scripts/gates.ts does not allow.`);
  process.exitCode = refused.length === 0 ? 0 : 1;
}
