// The dependency rules of the repository as data, and the check that holds every source file to them.
// ARCHITECTURE.md quotes them as absences. Tests and conformance suites may reach across folders.
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Which of our packages a package may import. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  api: [],
  server: ['api'],
  'agent-runner': ['api'],
  dashboard: ['api'],
  'fake-model': [],
};

/** Library → the only places that import it. Everything of a vendor stays behind our own seam. */
const LIBRARIES: ReadonlyMap<string, readonly string[]> = new Map([
  // The Agent Client Protocol is what a turn speaks with any harness, so it is no vendor there.
  [
    '@agentclientprotocol/sdk',
    ['server/src/harness/', 'server/src/turns/', 'server/src/acp-bridge/', 'server/src/http/acp/', 'agent-runner/src/'],
  ],
  ['@ai-sdk', ['agent-runner/src/']],
  ['ai', ['agent-runner/src/']],
  ['@clack/prompts', ['server/src/cli/']],
  ['commander', ['server/src/cli/']],
  ['@modelcontextprotocol/sdk', ['agent-runner/src/']],
  ['@hono', ['server/src/http/']],
  ['hono', ['server/src/http/']],
  ['kysely', ['server/src/store/']],
  ['node:sqlite', ['server/src/store/']],
  ['openid-client', ['server/src/oidc/']],
  ['pg', ['server/src/store/postgres/']],
  ['pino', ['server/src/base/']],
  ['pino-pretty', ['server/src/base/']],
  ['prom-client', ['server/src/base/', 'server/src/http/']],
  ['tar-stream', ['server/src/runtime/']],
  ['yaml', ['server/src/config/', 'server/src/skills/', 'server/src/usage/']],
  ['ws', ['server/src/http/acp/']],
  ['zod', ['api/src/', 'server/src/http/', 'agent-runner/src/']],
]);

/** What enters the server only through a seam: time and chance through `base/`, settings through `config.ts`. */
const AMBIENT: readonly { readonly what: RegExp; readonly only: readonly string[] }[] = [
  { what: /\bprocess\.env\b/, only: ['config.ts'] },
  {
    what: /\b(Date\.now|Math\.random|performance\.now|setTimeout|setInterval|setImmediate|randomUUID|randomUUIDv7)\(|\bnew Date\(\)/,
    only: ['base/'],
  },
];

/** Folders of the server that implement a port: they see their own folder, other seams, core and base. */
const PORTS = ['store', 'runtime', 'harness', 'channels', 'egress'];
const EDGES = ['cli', 'http'];
/** The files by which a port is known outside its folder. */
const SEAMS = [
  'store/store.ts',
  'runtime/driver.ts',
  'runtime/services.ts',
  'runtime/upkeep.ts',
  'harness/harness.ts',
  'harness/catalog.ts',
  'harness/acp/connection.ts',
  'channels/channel.ts',
  'egress/gateway.ts',
];
/** Implementations of one port, of which none knows another. */
const SIBLINGS = ['store', 'runtime', 'harness', 'channels'];
/** What the implementations of a port share. */
const SHARED = ['store/port', 'store/sql'];
/** The composition root, which names concrete parts together, and what prepares the ground for it. */
const COMPOSITION = [
  'main.ts',
  'agent-choices.ts',
  'open-engine.ts',
  'turn-parts.ts',
  'open-http.ts',
  'choose-runtime.ts',
  'prepare-images.ts',
  'databases.ts',
  'backups.ts',
  'operations.ts',
  'diagnose.ts',
  'open-egress.ts',
  'open-broker.ts',
];
/** Who speaks to an implementation of a port itself: the broker makes the driver's calls anew, from the driver's own shapes. */
const INSIDERS: Readonly<Record<string, string>> = { broker: 'runtime/docker/' };
/** What everything but core and base may read. */
const ROOT_FILES = ['config.ts', 'assets.ts'];

export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** Checks one file; `file` is its path below `packages/`. */
export function checkFile(file: string, source: string): Violation[] {
  const found: Violation[] = [];
  const [name = ''] = file.split('/');
  const inServer = file.startsWith('server/src/');
  withoutComments(source)
    .split('\n')
    .forEach((text, index) => {
      const add = (message: string) => found.push({ file: `packages/${file}`, line: index + 1, message });
      for (const target of importsIn(text)) {
        const message = target.startsWith('.') ? relativeRule(name, file, target) : libraryRule(name, file, target);
        if (message !== undefined) add(message);
      }
      if (!inServer) return;
      const place = file.slice('server/src/'.length);
      for (const { what, only } of AMBIENT) {
        const match = what.exec(text);
        if (match !== null && !only.some((allowed) => place.startsWith(allowed))) add(`${match[0]} is only for ${only.join(', ')}`);
      }
    });
  return found;
}

/** Checks every source file that is no test. */
export function checkImports(root: string): Violation[] {
  const packages = path.join(root, 'packages');
  return globSync('*/src/**/*.ts', { cwd: packages })
    .filter((file) => !/\.test\.ts$|(^|\/)conformance[^/]*\.ts$/.test(file))
    .sort()
    .flatMap((file) => checkFile(file, readFileSync(path.join(packages, file), 'utf8')));
}

function libraryRule(name: string, file: string, target: string): string | undefined {
  if (target.startsWith('@cloister/')) {
    const other = target.split('/')[1] ?? '';
    return PACKAGES[name]?.includes(other) ? undefined : `packages/${name} must not import ${target}`;
  }
  const [scope = '', part = ''] = target.split('/');
  const allowed = LIBRARIES.get(scope.startsWith('@') ? `${scope}/${part}` : scope) ?? LIBRARIES.get(scope);
  if (allowed === undefined || allowed.some((place) => file.startsWith(place))) return undefined;
  return `${target} may only be imported in ${allowed.join(', ')}`;
}

function relativeRule(name: string, file: string, target: string): string | undefined {
  const resolved = path.posix.normalize(path.posix.join(path.posix.dirname(file), target));
  if (!resolved.startsWith(`${name}/`)) return `${target} leaves the package; import @cloister/… instead`;
  if (!file.startsWith('server/src/') || !resolved.startsWith('server/src/')) return undefined;
  const from = file.slice('server/src/'.length);
  const to = resolved.slice('server/src/'.length);
  return mayImport(from, to) ? siblingRule(from, to) : `${folderOf(from)} must not import ${to}`;
}

function mayImport(from: string, to: string): boolean {
  const [source, destination] = [folderOf(from), folderOf(to)];
  if (COMPOSITION.includes(from) || source === destination || destination === 'base') return true;
  if (source === 'base') return false;
  if (destination === 'core') return true;
  if (source === 'core') return false;
  // The settings' areas are parts of config.ts.
  if (destination === 'config') return from === 'config.ts';
  if (source === 'config') return false;
  if (ROOT_FILES.includes(to) || SEAMS.includes(to)) return true;
  if (to.startsWith(INSIDERS[source] ?? `${to}/`)) return true;
  if (ROOT_FILES.includes(from) || PORTS.includes(source)) return false;
  if (COMPOSITION.includes(to)) return source === 'cli';
  return !EDGES.includes(destination) && !PORTS.includes(destination);
}

function siblingRule(from: string, to: string): string | undefined {
  const [port = '', one = '', ...restOne] = from.split('/');
  const [otherPort, other = '', ...restOther] = to.split('/');
  if (port !== otherPort || !SIBLINGS.includes(port) || one === other || restOne.length === 0 || restOther.length === 0) return undefined;
  if (SHARED.includes(`${otherPort}/${other}`)) return undefined;
  return `${port}/${one} must not import its sibling ${port}/${other}`;
}

function folderOf(place: string): string {
  return place.includes('/') ? (place.split('/')[0] ?? '') : place;
}

function importsIn(line: string): string[] {
  return [...line.matchAll(/(?:\bfrom\s*|\bimport\s*\(\s*|^\s*import\s+)(['"])([^'"]+)\1/g)].flatMap((match) => match[2] ?? []);
}

/** Blanks comments out and keeps the lines; good enough for code that a formatter has been over. */
function withoutComments(source: string): string {
  const blank = (text: string) => text.replace(/[^\n]/g, ' ');
  return source.replace(/^\s*\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, blank);
}

if (import.meta.main) {
  const violations = checkImports(path.resolve(import.meta.dirname, '..'));
  for (const { file, line, message } of violations) console.log(`${file}:${line}: ${message}`);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
