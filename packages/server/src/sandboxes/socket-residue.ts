import { connect } from 'node:net';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { GATEWAY_SOCKET_NAME } from '../egress/gateway.ts';
import type { Remnant, Residue, ResidueLook } from '../runtime/upkeep.ts';
import { changedAt, removeSocketsIn, socketDirectoriesIn, socketOwner, socketParents } from './socket-directories.ts';

export interface SocketResidueDeps {
  readonly dataDir: string;
  readonly installation: string;
  readonly nodeId: string;
  readonly isSoleNode: boolean;
  readonly clock: Clock;
  /** True for a sandbox of this server, from before its directory is made until after that is removed. */
  readonly isOwned: (sandboxId: string) => boolean;
  /** True for another server that was alive lately. */
  readonly isAliveElsewhere: (nodeId: string) => boolean;
}

/** Another server may have come after we last asked who is alive. */
const FOREIGN_GRACE_MS = 60_000;
/** Directories without a name on them are from before there were names. */
const NAMELESS_GRACE_MS = 3_600_000;
const CONNECT_MS = 2000;

interface SocketRemnant extends Remnant {
  readonly parent: string;
}

/**
 * The socket directories that killed servers left. Several servers may share a data directory, so one goes only when
 * its owner is of this installation and dead, the engine has no such sandbox, and nobody listens on its socket:
 * a server that was merely thought dead still does.
 */
export function createSocketResidue(deps: SocketResidueDeps): Residue {
  async function isRemnant(parent: string, sandboxId: string, { inUse, isOld }: ResidueLook): Promise<boolean> {
    if (deps.isOwned(sandboxId) || inUse.has(sandboxId)) return false;
    const [owner, at] = [await socketOwner(parent, sandboxId), await changedAt(parent, sandboxId)];
    if (at === undefined) return false;
    const isOlderThan = (ms: number) => deps.clock.now() - at > ms;
    if (owner === undefined) {
      if (!isOlderThan(NAMELESS_GRACE_MS)) return false;
    } else {
      if (owner.installation !== deps.installation || deps.isAliveElsewhere(owner.node)) return false;
      const isOurs = deps.isSoleNode || owner.node === deps.nodeId;
      if (isOurs ? !isOld(at) : !isOlderThan(FOREIGN_GRACE_MS)) return false;
    }
    return !(await isListenedTo(path.join(parent, sandboxId, GATEWAY_SOCKET_NAME)));
  }

  return {
    name: 'sockets',
    async list(look) {
      const found: SocketRemnant[] = [];
      for (const parent of socketParents(deps.dataDir))
        for (const id of await socketDirectoriesIn(parent)) if (await isRemnant(parent, id, look)) found.push({ id, parent });
      return found;
    },
    async remove({ id }) {
      // A sandbox's id is never given again, so what nobody owned a moment ago nobody does now.
      for (const parent of socketParents(deps.dataDir)) await removeSocketsIn(parent, id);
    },
  };
}

/** Who has sandboxes, as the parts of a server know it. */
export function ownersOf(
  live: { isOwned(ref: { readonly sandbox: string }): boolean },
  presence: Pick<SocketResidueDeps, 'isAliveElsewhere'>,
): Pick<SocketResidueDeps, 'isOwned' | 'isAliveElsewhere'> {
  return { isOwned: (sandbox) => live.isOwned({ sandbox }), isAliveElsewhere: presence.isAliveElsewhere };
}

/** Whether a process holds the socket. Only a refusal, or its absence, says that none does. */
function isListenedTo(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: socketPath, timeout: CONNECT_MS });
    const tell = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('timeout', () => tell(true));
    socket.once('connect', () => tell(true));
    socket.once('error', (error: NodeJS.ErrnoException) => tell(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}
