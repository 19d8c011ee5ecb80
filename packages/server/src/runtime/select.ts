import { PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { createBubblewrapDriver } from './bubblewrap/driver.ts';
import { createDockerDriver } from './docker/driver.ts';
import type { EndpointOptions } from './docker/endpoint.ts';
import type { RuntimeDriver } from './driver.ts';
import { createFakeDriver } from './fake/driver.ts';
import type { FakeProgram } from './fake/process.ts';

export interface RuntimeSelection {
  readonly choice: 'auto' | 'docker' | 'podman' | 'bubblewrap' | 'fake';
  readonly dockerHost?: string | undefined;
  /** The directory of ca.pem, cert.pem and key.pem, when DOCKER_HOST is reached over TLS. */
  readonly dockerCertPath?: string | undefined;
  readonly runtimeDir?: string | undefined;
  readonly dataDir?: string | undefined;
  /** The data directory by the path of the engine's host. */
  readonly hostDataDir?: string | undefined;
  /** Where engines have their sockets, in place of the usual ones. */
  readonly sockets?: Partial<Record<'docker' | 'podman', readonly string[]>>;
  /** Network namespaces to keep ready on an engine, made of this image, as the relays of services are. */
  readonly networkHolders?: { readonly size: number; readonly image: string };
  readonly log: Logger;
  /** What can run on the fake runtime. */
  readonly fakePrograms?: Readonly<Record<string, FakeProgram>>;
  /** What sandboxes without an image need of the host; left out where only engines are looked for. */
  readonly bubblewrap?: { readonly stateDirectory: string; readonly programs: Readonly<Record<string, string>> } | undefined;
}

export interface ChosenRuntime {
  readonly driver: RuntimeDriver;
  /** Why this one, in a sentence for the operator. */
  readonly reason: string;
  /** Where its engine is, to make images there; undefined for those that have none. */
  readonly engine: EndpointOptions | undefined;
}

type Kind = 'docker' | 'podman' | 'bubblewrap';

const TITLES: Readonly<Record<Kind, string>> = { docker: 'Docker', podman: 'Podman', bubblewrap: 'bubblewrap' };

/**
 * Makes the chosen driver and sees that its engine answers. `auto` takes Docker before Podman before bubblewrap, and
 * only what DOCKER_HOST names when that is set; the fake is never among them, since it isolates nothing: it has to be
 * asked for by name. Throws `runtime_unreachable` with what is wrong and one thing to do.
 */
export async function selectRuntime(selection: RuntimeSelection): Promise<ChosenRuntime> {
  const { choice, log } = selection;
  if (choice === 'fake') {
    log.warn('the fake runtime is in use: nothing that runs is isolated');
    const driver = createFakeDriver({ programs: selection.fakePrograms ?? {} });
    return { driver, reason: 'CLOISTER_RUNTIME asks for it', engine: undefined };
  }
  const refusals: Refusal[] = [];
  for (const kind of kindsToTry(selection)) {
    const tried = await tryKind(kind, selection);
    if (tried.type === 'refused') {
      refusals.push(tried);
      continue;
    }
    const reason = reasonFor(selection, tried.detail, refusals);
    const about = { runtime: tried.driver.name, engine: tried.detail, reason };
    if (tried.driver.capabilities.isolationClass === 'weaker')
      log.warn(about, 'runtime chosen: its isolation is weaker than that of a container engine');
    else log.info(about, 'runtime chosen');
    return { driver: tried.driver, reason, engine: tried.engine };
  }
  throw nothingWorks(refusals);
}

interface Refusal {
  readonly type: 'refused';
  readonly kind: Kind;
  readonly detail: string;
  readonly fix: string;
}

interface Found {
  readonly type: 'found';
  readonly driver: RuntimeDriver;
  readonly detail: string;
  readonly engine: EndpointOptions | undefined;
}

function kindsToTry({ choice, dockerHost, bubblewrap }: RuntimeSelection): readonly Kind[] {
  if (choice === 'docker' || choice === 'podman' || choice === 'bubblewrap') return [choice];
  // An engine that was named is the one that is meant: another, or weaker walls, would be taken behind the operator's back.
  if (dockerHost !== undefined) return ['docker'];
  return bubblewrap === undefined ? ['docker', 'podman'] : ['docker', 'podman', 'bubblewrap'];
}

async function tryKind(kind: Kind, selection: RuntimeSelection): Promise<Found | Refusal> {
  const { driver, engine } = createDriver(kind, selection);
  const probe = await driver.probe();
  const refusal = probe.ok ? undefined : { detail: probe.detail, fix: probe.fix };
  const stranger =
    kind === 'podman' && probe.ok && driver.name !== 'podman'
      ? {
          detail: `DOCKER_HOST leads to ${probe.detail}, which is not Podman.`,
          fix: 'Set CLOISTER_RUNTIME=docker, or correct DOCKER_HOST.',
        }
      : undefined;
  const refused = refusal ?? stranger;
  if (refused === undefined && probe.ok) return { type: 'found', driver, detail: probe.detail, engine };
  await driver.close();
  return { type: 'refused', kind, detail: refused?.detail ?? '', fix: refused?.fix ?? '' };
}

function createDriver(
  kind: Kind,
  selection: RuntimeSelection,
): { readonly driver: RuntimeDriver; readonly engine: EndpointOptions | undefined } {
  const { log, bubblewrap, dockerHost, dockerCertPath, runtimeDir, sockets, dataDir, hostDataDir, networkHolders } = selection;
  if (kind === 'bubblewrap') {
    if (bubblewrap === undefined)
      throw new PlatformError('config_invalid', { detail: 'bubblewrap has no images: nothing is to be made for it.' });
    return { driver: createBubblewrapDriver({ ...bubblewrap, log }), engine: undefined };
  }
  const engine = { kind, endpoint: dockerHost, certPath: dockerCertPath, runtimeDir, sockets: sockets?.[kind] };
  return {
    driver: createDockerDriver({ ...engine, dataDir, hostDataDir, networkHolders, relayImage: networkHolders?.image, log }),
    engine,
  };
}

function reasonFor({ choice, dockerHost }: RuntimeSelection, detail: string, refusals: readonly Refusal[]): string {
  const by = choice !== 'auto' ? 'CLOISTER_RUNTIME asks for it' : dockerHost !== undefined ? 'DOCKER_HOST names it' : undefined;
  if (by !== undefined) return `${by}: ${detail}`;
  if (refusals.length === 0) return `the first choice: ${detail}`;
  return `${detail}; ${refusals.map((one) => `${TITLES[one.kind]} would go before: ${one.detail}`).join(' ')}`;
}

/** What was asked for alone is explained alone; of several, the strongest is what to get. */
function nothingWorks(refusals: readonly Refusal[]): PlatformError {
  const [first, ...others] = refusals;
  if (first !== undefined && others.length === 0)
    return new PlatformError('runtime_unreachable', { detail: `${first.detail} ${first.fix}` });
  const tried = refusals.map(({ kind, detail }) => `${TITLES[kind]}: ${detail}`).join(' ');
  return new PlatformError('runtime_unreachable', {
    detail: `Nothing here can run a sandbox, and agents never run unconfined. Install Docker, start it (\`systemctl start docker\`), and start Cloister again. Tried were ${tried}`,
  });
}
