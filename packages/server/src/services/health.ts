import http from 'node:http';
import type { Clock } from '../base/clock.ts';

/** Asks once. Undefined when all is well, else why not. */
export type Probe = (target: { readonly address: string; readonly port: number; readonly path: string }) => Promise<string | undefined>;

const TIMEOUT_MS = 5000;

/** One plain GET; its answer's body is not read. Never throws. */
export function createHttpProbe(clock: Clock): Probe {
  return ({ address, port, path }) => {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const request = http.get({ host: connectAddress(address), port, path, agent: false, headers: { connection: 'close' } });
    const cancel = clock.after(TIMEOUT_MS, () => {
      resolve(`no answer within ${TIMEOUT_MS / 1000} s`);
      request.destroy();
    });
    request.once('response', ({ statusCode = 0 }) => {
      resolve(statusCode >= 200 && statusCode < 400 ? undefined : `answered with status ${statusCode}`);
      request.destroy();
    });
    request.on('error', (error) => resolve('code' in error && typeof error.code === 'string' ? error.code : 'the connection broke off'));
    return promise.finally(cancel);
  };
}

/** One that is bound to every address is asked over the loopback. */
export function connectAddress(bind: string): string {
  if (bind === '0.0.0.0') return '127.0.0.1';
  return bind === '::' ? '::1' : bind;
}
