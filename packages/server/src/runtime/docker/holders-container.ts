import { newUnique } from '../../base/ids.ts';
import type { DockerContext } from './context.ts';
import { unexpectedAnswer } from './failures.ts';
import { HOSTNAME, hostConfig, INSTALLATION_LABEL, NODE_LABEL } from './profile.ts';
import { parseId } from './wire.ts';

export interface HolderOwner {
  readonly installation: string;
  readonly node: string;
}

/** A container that does nothing but have a network namespace without a card. */
export interface Holder {
  /** Ours; it stands in the label. */
  readonly key: string;
  /** The engine's. */
  readonly id: string;
  /** False from when it has ended, or the engine went away. */
  isAlive(): boolean;
  /** Lets go of its input; it ends of that too. */
  letGo(): void;
}

const KIND_LABEL = 'cloister.kind';
export const KEY_LABEL = 'cloister.holder';
const NOBODY = '65534:65534';
const MEMORY_BYTES = 32 * 1024 * 1024;
/** The engine's own threads in the container count until the program runs. */
const PIDS = 16;
const REMOVAL_LIMIT_MS = 10_000;

/** Undefined for what is no holder. */
export function holderLabels(labels: Readonly<Record<string, string>>): { readonly key: string; readonly node: string } | undefined {
  const key = labels[KEY_LABEL];
  return key === undefined ? undefined : { key, node: labels[NODE_LABEL] ?? '' };
}

export function holderName(key: string): string {
  return `cloister-holder-${key}`;
}

export function newHolderKey(): string {
  return newUnique();
}

/**
 * The sandbox's own hardening, and less of everything. Its program reads an input that this server holds open and gets
 * nothing by it: the end of the server, however it comes, is the end of the input, of the program and, as the engine
 * removes what has ended, of the container.
 */
export function holderBody(
  { installation, node, key }: HolderOwner & { readonly key: string },
  { image, apiVersion }: { readonly image: string; readonly apiVersion: string },
): object {
  const small = { memoryBytes: MEMORY_BYTES, cpus: 1, pids: PIDS, tmpBytes: 64 * 1024, mounts: [] };
  return {
    Image: image,
    Entrypoint: ['cat'],
    Cmd: [],
    WorkingDir: '/',
    User: NOBODY,
    Hostname: HOSTNAME,
    Labels: { [INSTALLATION_LABEL]: installation, [NODE_LABEL]: node, [KIND_LABEL]: 'network-holder', [KEY_LABEL]: key },
    Healthcheck: { Test: ['NONE'] },
    AttachStdin: true,
    AttachStdout: true,
    OpenStdin: true,
    StdinOnce: true,
    Tty: false,
    HostConfig: { ...hostConfig(small, apiVersion), Init: false, AutoRemove: true, LogConfig: { Type: 'none', Config: {} } },
  };
}

export interface HolderRequest {
  readonly owner: HolderOwner;
  readonly key: string;
  readonly image: string;
  readonly onEnd: () => void;
}

/** Makes one that runs. A failure leaves nothing that the engine could be told to remove. */
export async function openHolder(docker: DockerContext, { owner, key, image, onEnd }: HolderRequest): Promise<Holder> {
  const { engine } = docker;
  const { apiVersion } = await engine.address();
  const json = holderBody({ ...owner, key }, { image, apiVersion });
  const made = await engine.call({ method: 'POST', path: '/containers/create', query: { name: holderName(key) }, json });
  if (made.status !== 201) throw unexpectedAnswer('make a network ready', made);
  const id = parseId(made.body);
  try {
    const query = { stream: 1, stdin: 1, stdout: 1 };
    const attached = await engine.hijack({ method: 'POST', path: `/containers/${id}/attach`, query });
    if (attached.type === 'refused') throw unexpectedAnswer('hold on to a network', attached);
    const { socket } = attached;
    let isAlive = true;
    socket.on('error', (error) => docker.log.debug({ err: error }, 'the connection to a network holder broke'));
    socket.once('close', () => {
      isAlive = false;
      onEnd();
    });
    // Only what is read tells of its end.
    socket.resume();
    const started = await engine.call({ method: 'POST', path: `/containers/${id}/start` });
    if (started.status !== 204) {
      socket.destroy();
      throw unexpectedAnswer('start a network holder', started);
    }
    return { key, id, isAlive: () => isAlive, letGo: () => socket.destroy() };
  } catch (error) {
    await removeHolder(docker, id).catch((cause: unknown) =>
      docker.log.debug({ err: cause }, 'a network holder is left for the next listing'),
    );
    throw error;
  }
}

/** Resolves when it is gone, or about to be. */
export async function removeHolder(docker: DockerContext, id: string): Promise<void> {
  const answer = await docker.engine.call({
    method: 'DELETE',
    path: `/containers/${id}`,
    query: { force: 1, v: 1 },
    deadlineMs: REMOVAL_LIMIT_MS,
  });
  // 409: the engine removes it by itself already.
  if (![204, 404, 409].includes(answer.status)) throw unexpectedAnswer('remove a network holder', answer);
}
