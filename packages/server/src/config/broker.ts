import { cpus, totalmem } from 'node:os';
import path from 'node:path';
import type { ServiceSettings } from '../core/service-settings.ts';
import { MAX_BYTES } from './egress.ts';
import { dockerCertPath } from './engine.ts';
import { type LogSettings, logSettings } from './log.ts';
import { serviceSettings } from './services.ts';
import { absolutePath, type Environment, integer, text, textOr, words } from './values.ts';

/** What the socket broker needs to know; it never sees the server's secrets. */
export interface BrokerConfig {
  readonly dataDir: string;
  readonly hostDataDir: string | undefined;
  readonly dockerHost: string | undefined;
  readonly dockerCertPath: string | undefined;
  readonly runtimeDir: string | undefined;
  readonly log: LogSettings;
  readonly socketPath: string;
  readonly pinFile: string;
  readonly policy: {
    readonly dataDir: string;
    readonly mountAllowlist: string | undefined;
    readonly maxMemoryBytes: number;
    readonly maxCpus: number;
    readonly maxPids: number;
    readonly ports: ServiceSettings['ports'];
    readonly bind: string;
    readonly runtimes: readonly string[];
  };
}

/** The OCI runtimes that separate at least as the usual one does. */
const KNOWN_RUNTIMES = ['runc', 'io.containerd.runc.v2', 'crun', 'runsc', 'kata', 'kata-runtime'] as const;

export function brokerConfig(env: Environment): BrokerConfig {
  const dataDir = path.resolve(textOr(env, 'DATA_DIR', './data'));
  const socketPath = absolutePath(env, 'BROKER_SOCKET', '/run/cloister/engine.sock');
  const { ports, bind } = serviceSettings(env);
  return {
    dataDir,
    hostDataDir: absolutePath(env, 'HOST_DATA_DIR'),
    dockerHost: text(env, 'DOCKER_HOST'),
    dockerCertPath: dockerCertPath(env),
    runtimeDir: text(env, 'XDG_RUNTIME_DIR'),
    log: logSettings(env),
    socketPath,
    pinFile: path.join(path.dirname(socketPath), 'installation'),
    policy: {
      dataDir,
      mountAllowlist: absolutePath(env, 'MOUNT_ALLOWLIST'),
      maxMemoryBytes: integer(env, 'BROKER_MAX_MEMORY_BYTES', totalmem(), { min: 1, max: MAX_BYTES }),
      maxCpus: integer(env, 'BROKER_MAX_CPUS', cpus().length, { min: 1, max: 10_000 }),
      maxPids: integer(env, 'BROKER_MAX_PIDS', 4096, { min: 16, max: 65_536 }),
      ports,
      bind,
      runtimes: [...KNOWN_RUNTIMES, ...words(env, 'CLOISTER_RUNTIME_CLASSES')],
    },
  };
}
