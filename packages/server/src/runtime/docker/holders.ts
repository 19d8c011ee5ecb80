import type { SandboxSpec } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { holderLabels, removeHolder } from './holders-container.ts';
import { createBin, createState, type HolderSettings, type Loan, type State } from './holders-state.ts';
import { createSupply } from './holders-supply.ts';
import { containerName, parseLabels } from './profile.ts';
import { QUIRKS } from './quirks.ts';
import type { ListedContainer } from './wire.ts';

/**
 * Network namespaces made ahead of the sandboxes they are for. To make one is the longest part of a container's start,
 * even of one without a network, so a few small containers hold one each. A sandbox is put into the namespace of one of
 * them, which no other ever gets; once it runs the namespace is its own, and the holder goes.
 *
 * Nothing depends on a holder: a sandbox without one, or whose holder is lost before its start, has a namespace made
 * for it as ever. They are made after the first sandbox and go when none was made for a while.
 */
export interface NetworkHolders {
  /** The id of a holder for this container alone; undefined when none is ready, or when it would not help. */
  lend(name: string, wish: Wish): string | undefined;
  /** What the container would be without its holder; undefined when this driver has lent it none. */
  withoutHolder(name: string): object | undefined;
  /** The container was not made, so that the holder is as good as new. */
  giveBack(name: string): void;
  /** The container runs, is gone, or is not known of: the holder is not to be used again. */
  release(name: string): void;
  /** Removes the holders in a listing of the installation that nobody needs, whoever left them. */
  tidy(installation: string, items: readonly ListedContainer[]): void;
  /** How many are ready now. */
  ready(): number;
  close(): Promise<void>;
}

export interface Wish extends Pick<SandboxSpec, 'labels' | 'runtimeClass'> {
  /** The container with a network of its own, for when the holder is lost. */
  readonly json: object;
}

export const NO_HOLDERS: HolderSettings = { size: 0, image: '' };

/** The work that a holder makes stays out of the way of the sandbox that was just opened. */
const REST_MS = 1500;
/** A container appears in listings a moment after its create was sent. */
const GRACE_MS = 60_000;
/** No server keeps one as long. */
const LONGEST_LIFE_MS = 2 * 60 * 60_000;

export function createNetworkHolders(docker: DockerContext, settings: HolderSettings): NetworkHolders {
  const closing = new AbortController();
  const state = createState();
  const bin = createBin(docker, state, closing.signal);
  const supply = createSupply(docker, settings, { state, bin, closing: closing.signal, restMs: REST_MS });

  const release = (name: string) => {
    const loan = take(state, name);
    if (loan !== undefined) bin.discard(loan.holder, REST_MS);
  };

  return {
    release,
    lend(name, { labels, runtimeClass, json }) {
      const { fasterInNetworks } = QUIRKS[docker.engine.kind()];
      const isFaster = runtimeClass === undefined ? fasterInNetworks.length > 0 : fasterInNetworks.includes(runtimeClass);
      if (settings.size === 0 || !isFaster || state.loans.has(name) || closing.signal.aborted) return undefined;
      state.owner ??= { installation: labels.installation, node: labels.node };
      if (state.owner.installation !== labels.installation) return undefined;
      supply.ask();
      const holder = state.ready.shift();
      if (holder === undefined) return undefined;
      state.loans.set(name, { holder, since: docker.clock.monotonic(), json });
      return holder.id;
    },
    withoutHolder: (name) => state.loans.get(name)?.json,
    giveBack(name) {
      const loan = take(state, name);
      if (loan?.holder.isAlive() === true) state.ready.unshift(loan.holder);
      else if (loan !== undefined) bin.discard(loan.holder, 0);
    },
    tidy(installation, items) {
      if (closing.signal.aborted) return;
      if (installation === state.owner?.installation) for (const name of returned(docker, state, items)) release(name);
      for (const { id } of orphans(docker, state, items)) bin.run(removeHolder(docker, id));
    },
    ready: () => state.ready.length,
    async close() {
      closing.abort();
      supply.stop();
      for (const holder of state.ready.splice(0)) bin.discard(holder, 0);
      for (const name of state.loans.keys()) release(name);
      while (state.works.size > 0) await Promise.all(state.works);
    },
  };
}

function take({ loans }: State, name: string): Loan | undefined {
  const loan = loans.get(name);
  loans.delete(name);
  return loan;
}

/** Names of loans whose container somebody else has started or removed. */
function returned(docker: DockerContext, { loans }: State, items: readonly ListedContainer[]): string[] {
  const states = new Map<string, string>();
  for (const item of items) {
    const labels = parseLabels(item.labels);
    if (labels !== undefined) states.set(containerName(labels), item.status);
  }
  const isReturned = ([name, { since }]: [string, Loan]) => {
    const status = states.get(name);
    return status === undefined ? docker.clock.monotonic() - since > GRACE_MS : status !== 'created';
  };
  return [...loans].filter(isReturned).map(([name]) => name);
}

/** Left by a removal that failed, or by a server that ended while the engine did not see it. */
function orphans(docker: DockerContext, { owner, keys }: State, items: readonly ListedContainer[]): ListedContainer[] {
  return items.filter(({ labels, status, createdAt }) => {
    const holder = holderLabels(labels);
    if (holder === undefined || keys.has(holder.key) || status === 'removing') return false;
    const ageMs = docker.clock.now() - createdAt;
    return holder.node === owner?.node || ageMs > (status === 'running' ? LONGEST_LIFE_MS : GRACE_MS);
  });
}
