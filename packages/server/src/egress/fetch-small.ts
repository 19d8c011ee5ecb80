import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { credentialsRefused, PROXY_WANTS_CREDENTIALS } from './proxy-tunnel.ts';
import type { UpstreamAgents } from './upstream-agents.ts';

export interface SmallAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface SmallRequest {
  readonly method?: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body?: Buffer | undefined;
  readonly agents: UpstreamAgents;
  readonly signal: AbortSignal;
}

const MAX_BYTES = 2 * 1024 * 1024;

/** One request whose answer is read whole, up to a bound; redirects are an answer like any other. */
export function fetchSmall(url: URL, { method = 'GET', headers: own, body, agents, signal }: SmallRequest): Promise<SmallAnswer> {
  const isSecure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const agent = isSecure ? agents.https : agents.http;
    const { proxy, headers: more, ...form } = agents.formOf(url);
    const length = body === undefined ? {} : { 'content-length': body.length };
    const options = { method, headers: { ...own, ...length, ...more }, agent, signal, ...form };
    const outgoing = (isSecure ? requestHttps : requestHttp)(url, options, (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      const done = () => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks).toString('utf8') });
        outgoing.destroy();
      };
      if (proxy !== undefined && answer.statusCode === PROXY_WANTS_CREDENTIALS) {
        reject(credentialsRefused(proxy, { host: url.hostname, port: Number(url.port || 80) }));
        return void outgoing.destroy();
      }
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_BYTES) done();
        else chunks.push(chunk);
      });
      answer.once('end', done).once('error', reject);
    });
    outgoing.once('error', reject).end(body);
  });
}
