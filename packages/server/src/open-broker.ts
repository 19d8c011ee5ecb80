import { systemClock } from './base/clock.ts';
import { createLogger } from './base/log.ts';
import { type Broker, startBroker } from './broker/broker.ts';
import { forgetPinned } from './broker/installation.ts';
import { type BrokerConfig, loadBrokerConfig } from './config.ts';
import { createEngine } from './runtime/docker/engine.ts';

/** Starts the socket broker as the settings say. Throws `runtime_unreachable`, or `config_invalid`. */
export function openBroker(options: { readonly allowsBuild: boolean }, config: BrokerConfig = loadBrokerConfig()): Promise<Broker> {
  const { socketPath, pinFile, hostDataDir, dockerHost: endpoint, dockerCertPath: certPath, runtimeDir, log, policy } = config;
  return startBroker({
    socketPath,
    pinFile,
    hostDataDir,
    engine: { endpoint, certPath, runtimeDir },
    policy: { ...policy, allowsBuild: options.allowsBuild },
    log: createLogger(log),
  });
}

/** Asks a running broker, and through it the engine. Throws `runtime_unreachable` when either does not answer. */
export async function checkBroker({ socketPath }: BrokerConfig = loadBrokerConfig()): Promise<void> {
  const engine = createEngine({ endpoint: `unix://${socketPath}`, clock: systemClock, deadlineMs: 5000 });
  try {
    await engine.address();
  } finally {
    engine.close();
  }
}

/** Forgets which installation was served; undefined when there was none. A broker that runs knows it until it ends. */
export function forgetInstallation({ pinFile }: BrokerConfig = loadBrokerConfig()): string | undefined {
  return pinFile === undefined ? undefined : forgetPinned(pinFile);
}
