import { homedir } from 'node:os';

/** What the sandbox tells its programs; the only place that reads the environment. */
export interface RunnerEnvironment {
  /** Port of 127.0.0.1 on which the forwarder listens. */
  readonly gatewayPort: number;
  /** The gateway's unix socket, the only way out. */
  readonly gatewaySocket: string;
  readonly home: string;
}

const DEFAULT_PORT = 8787;
const DEFAULT_SOCKET = '/run/cloister/gateway.sock';

export function readEnvironment(env: NodeJS.ProcessEnv = process.env): RunnerEnvironment {
  const port = Number(env.CLOISTER_GATEWAY_PORT ?? DEFAULT_PORT);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`CLOISTER_GATEWAY_PORT is no port: ${env.CLOISTER_GATEWAY_PORT}`);
  return { gatewayPort: port, gatewaySocket: env.CLOISTER_GATEWAY_SOCKET ?? DEFAULT_SOCKET, home: env.HOME ?? homedir() };
}

const OWNER_VARIABLE = 'CLOISTER_FORWARDER_PID';

/**
 * True for the first process that asks. Forked children inherit `--import` by their arguments, and would
 * listen again on the port of their parent; they inherit this mark too.
 */
export function claimForwarder(env: NodeJS.ProcessEnv = process.env, pid: number = process.pid): boolean {
  const owner = env[OWNER_VARIABLE];
  if (owner !== undefined && owner !== String(pid)) return false;
  env[OWNER_VARIABLE] = String(pid);
  return true;
}

/** The environment of the agent's commands: nothing in it may wait for a person or draw on a terminal. */
export function commandEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return { ...env, PAGER: 'cat', GIT_PAGER: 'cat', GIT_TERMINAL_PROMPT: '0', DEBIAN_FRONTEND: 'noninteractive', TERM: 'dumb' };
}
