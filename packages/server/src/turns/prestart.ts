import type { Logger } from '../base/log.ts';
import type { Provider } from '../core/model.ts';
import type { HarnessCatalog } from '../harness/catalog.ts';
import type { LiveSandboxes } from '../sandboxes/live-sandboxes.ts';
import type { NodeStore, SessionRow } from '../store/store.ts';
import { resolveAgent } from './agent-options.ts';

export interface PrestartDeps {
  readonly live: Pick<LiveSandboxes, 'prepare'>;
  readonly nodes: Pick<NodeStore, 'claim'>;
  readonly nodeId: string;
  readonly volumeId: string;
  readonly catalog: HarnessCatalog;
  readonly providers: ReadonlySet<Provider>;
  /** Those of one tenant; left out, `providers` for all. */
  readonly providersOf?: ((tenantId: string) => Promise<ReadonlySet<Provider>>) | undefined;
  readonly log: Logger;
}

/**
 * Opens the sandbox of a new session while its user still writes. The session is claimed for this node first, so that
 * its first turn comes here, and no other node opens a second one.
 */
export function createPrestart(deps: PrestartDeps): (session: SessionRow) => void {
  const { live, nodes, nodeId, volumeId, catalog, log } = deps;
  return (session) => {
    const prepare = async () => {
      const providers = (await deps.providersOf?.(session.tenantId)) ?? deps.providers;
      const { harness, options } = resolveAgent(session.agent, catalog, providers);
      const claim = () => nodes.claim({ id: nodeId, volumeId, tenantId: session.tenantId, sessionId: session.id });
      await live.prepare({ session, harness, options, claim });
    };
    // Its first turn tells what is wrong.
    prepare().catch((error: unknown) => log.debug({ err: error, session: session.id }, 'a session cannot be opened ahead'));
  };
}
