import { homedir } from 'node:os';
import path from 'node:path';
import { type Environment, text } from './values.ts';

/** TLS is on when either variable is set, as for Docker's own client; what it does not verify, we do: there is no TLS without. */
export function dockerCertPath(env: Environment): string | undefined {
  const isOn = text(env, 'DOCKER_TLS_VERIFY') !== undefined;
  return text(env, 'DOCKER_CERT_PATH') ?? (isOn ? path.join(homedir(), '.docker') : undefined);
}
