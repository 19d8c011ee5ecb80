import type { ServiceSettings } from '../core/service-settings.ts';
import type { ServiceRow, ServiceStore } from '../store/store.ts';

/**
 * Which ports other programs of the host were found to have since a service last started. Each of the pool is tried
 * once: by its present port alone a service would go to and fro between two that are both taken.
 */
export interface PortMoves {
  /** Gives it a port that was not tried yet. Throws `service_ports_exhausted` when there is none, and begins anew. */
  next(row: ServiceRow): Promise<void>;
  /** It has started, or is gone. */
  forget(id: string): void;
}

export interface PortMovesDeps {
  readonly services: Pick<ServiceStore, 'movePort'>;
  readonly clock: { now(): number };
  readonly settings: Pick<ServiceSettings, 'ports'>;
}

export function createPortMoves({ services, clock, settings }: PortMovesDeps): PortMoves {
  const tried = new Map<string, Set<number>>();
  return {
    async next({ tenantId, id, port }) {
      const avoid = (tried.get(id) ?? new Set()).add(port);
      tried.set(id, avoid);
      try {
        await services.movePort({ tenantId, id, ports: settings.ports, avoid: [...avoid], now: clock.now() });
      } catch (error) {
        tried.delete(id);
        throw error;
      }
    },
    forget: (id) => void tried.delete(id),
  };
}
