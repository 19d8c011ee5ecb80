import { Agent, type ClientRequestArgs } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { type Dialer, dial } from './dial.ts';
import type { UpstreamAgents } from './model-call.ts';

type OnConnection = (error: Error | null, stream: Duplex) => void;
type Options = Pick<ClientRequestArgs, 'host' | 'port'>;

/**
 * Keeps connections as node's own agents do, but opens each as a sandbox's tunnel is opened: every address of the name is
 * checked, and the one that was checked is dialled. For providers at places that a tenant has named.
 */
export function createCheckedAgents(dialer: Dialer): UpstreamAgents {
  const http = new Agent({ keepAlive: true });
  const https = new SecureAgent({ keepAlive: true });
  const open = (options: Options, isSecure: boolean, done: OnConnection) => {
    const host = (options.host ?? '').replace(/^\[|\]$/g, '');
    const target = { host, port: Number(options.port ?? (isSecure ? 443 : 80)) };
    dial(dialer, target, AbortSignal.timeout(dialer.timeoutMs)).then(
      (socket) => {
        if (!isSecure) return done(null, socket);
        const secured = connectTls({ socket, host, ...(isIP(host) === 0 ? { servername: host } : {}), ALPNProtocols: ['http/1.1'] });
        secured.once('close', () => socket.destroy());
        done(null, secured);
      },
      // As: with an error node looks at no stream.
      (error: Error) => done(error, undefined as unknown as Duplex),
    );
    return undefined;
  };
  http.createConnection = (options, done) => open(options, false, done as OnConnection);
  https.createConnection = (options, done) => open(options, true, done as OnConnection);
  return { http, https };
}
