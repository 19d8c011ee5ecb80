import { findAssets } from '../assets.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { Config } from '../config.ts';
import type { Sealer } from '../core/sealing.ts';
import type { EgressGateway } from '../egress/gateway.ts';
import type { ServiceRuntime } from '../runtime/services.ts';
import type { Store } from '../store/store.ts';
import { createDuty } from '../system/duty.ts';
import { createGatewaySockets } from './gateway-sockets.ts';
import { createHttpProbe } from './health.ts';
import { createKeeper } from './keeper.ts';
import { isPortFree } from './ports.ts';
import { createServices, type Services } from './services.ts';

export interface ServicePartsDeps {
  readonly config: Config;
  readonly store: Store;
  readonly runtime: ServiceRuntime | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly installation: string;
  readonly nodeId: string;
  readonly sealing: { readonly sealer: Sealer };
  /** The way out of services that may reach some hosts. */
  readonly egress: { readonly services: EgressGateway };
}

export interface ServiceParts {
  readonly services: Services;
  /** What looks after the host's services while this server is the one that does; none where the runtime has none. */
  readonly keepers: readonly Service[];
}

export async function createServiceParts(deps: ServicePartsDeps): Promise<ServiceParts> {
  const { config, store, runtime, clock, log, installation, nodeId } = deps;
  const { sealer } = deps.sealing;
  const settings = config.services;
  const use = {
    services: store.services,
    clock,
    settings,
    sealer,
    installation,
    allowUnrestrictedNetwork: config.allowUnrestrictedNetwork,
  };
  if (runtime === undefined) return { services: createServices({ ...use, engine: undefined }), keepers: [] };
  const hostId = await runtime.hostId();
  const keeper = createKeeper({
    services: store.services,
    runtime,
    clock,
    log,
    installation,
    hostId,
    dataDir: config.dataDir,
    settings,
    sealer,
    probe: createHttpProbe(clock),
    gateways: createGatewaySockets({
      dataDir: config.dataDir,
      log,
      gateway: deps.egress.services,
      runnerDirectory: findAssets().sandboxRunner,
    }),
    isPortFree,
  });
  const keeping = createDuty({
    name: `services of ${hostId}`,
    duties: store.duties,
    nodeId,
    leaseMs: config.leaseMs,
    clock,
    log,
    run: keeper.run,
  });
  return { services: createServices({ ...use, engine: { runtime, hostId, wake: keeper.wake } }), keepers: [keeping] };
}
