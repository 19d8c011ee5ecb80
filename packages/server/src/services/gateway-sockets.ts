import { chmod, copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from '../base/log.ts';
import type { EgressGateway, GatewayConnection } from '../egress/gateway.ts';
import type { ServiceRow } from '../store/store.ts';
import { serviceDirectory } from './files.ts';
import { readDefinition } from './spec.ts';

/**
 * The way out of services that may reach some hosts: the gateway's socket in their `/run/cloister`, as sandboxes have
 * it, and nothing else. Beside it lie programs that bring it to a port of the loopback, for what speaks to proxies.
 */
export interface GatewaySockets {
  /** The socket is there when this resolves; nothing for a service that reaches nothing, or everything. */
  ensure(row: ServiceRow): Promise<void>;
  /** Opens those of the services that run here, and closes the others. */
  keep(rows: readonly ServiceRow[]): Promise<void>;
  close(): Promise<void>;
}

export interface GatewaySocketDeps {
  readonly dataDir: string;
  readonly log: Logger;
  /** With models only for those that are an agent's: whose use they are has to be known. */
  readonly gateway: EgressGateway;
  /** Where the forwarders are. */
  readonly runnerDirectory: string;
}

export const FORWARDERS = ['forwarder.mjs', 'supervisor.mjs'] as const;

export function createGatewaySockets({ dataDir, log, gateway, runnerDirectory }: GatewaySocketDeps): GatewaySockets {
  const opening = new Map<string, Promise<GatewayConnection>>();

  async function open({ id, tenantId, spec }: ServiceRow): Promise<GatewayConnection> {
    const directory = path.join(serviceDirectory(dataDir, id), 'run');
    await mkdir(directory, { recursive: true, mode: 0o755 });
    for (const name of FORWARDERS) {
      const file = path.join(directory, name);
      await copyFile(path.join(runnerDirectory, name), file);
      await chmod(file, 0o644);
    }
    const { allowedHosts = [], agentId } = readDefinition({ spec });
    const network = { allowedHosts };
    // It has no environment: its own hosts are all there are.
    const subject = agentId === undefined ? undefined : { environmentId: '', agentId };
    const observer = { onStart: () => undefined, onEnd: () => undefined };
    return gateway.open({ sandboxId: id, tenantId, sessionId: id, directory, network, observer, subject });
  }

  async function shut(id: string): Promise<void> {
    const connection = opening.get(id);
    opening.delete(id);
    await (await connection?.catch(() => undefined))?.close();
  }

  async function ensure(row: ServiceRow): Promise<void> {
    if (readDefinition(row).networking !== 'limited') return;
    const found = opening.get(row.id) ?? open(row);
    opening.set(row.id, found);
    await found.catch((error: unknown) => {
      opening.delete(row.id);
      throw error;
    });
  }

  return {
    ensure,
    async keep(rows) {
      const wanted = rows.filter(({ state, spec }) => KEPT.has(state) && readDefinition({ spec }).networking === 'limited');
      const ids = new Set(wanted.map(({ id }) => id));
      for (const id of opening.keys()) if (!ids.has(id)) await shut(id);
      for (const row of wanted)
        await ensure(row).catch((error: unknown) =>
          log.warn({ err: error, service: row.id }, "the gateway's socket of a service could not be opened; trying again"),
        );
    },
    async close() {
      for (const id of opening.keys()) await shut(id);
    },
  };
}

/** Those that have a container, or are about to: `ensure` may have come before the row says so. */
const KEPT: ReadonlySet<ServiceRow['state']> = new Set(['pending', 'starting', 'running', 'backoff']);
