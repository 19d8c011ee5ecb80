import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { UpstreamAgents } from './model-call.ts';

export interface SmallAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const MAX_BYTES = 2 * 1024 * 1024;

/** One GET whose answer is read whole, up to a bound; redirects are an answer like any other. */
export function fetchSmall(
  url: URL,
  { headers, agents, timeoutMs }: { readonly headers: OutgoingHttpHeaders; readonly agents: UpstreamAgents; readonly timeoutMs: number },
): Promise<SmallAnswer> {
  const isSecure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const agent = isSecure ? agents.https : agents.http;
    const signal = AbortSignal.timeout(timeoutMs);
    const outgoing = (isSecure ? requestHttps : requestHttp)(url, { method: 'GET', headers, agent, signal }, (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      const done = () => {
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks).toString('utf8') });
        outgoing.destroy();
      };
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_BYTES) done();
        else chunks.push(chunk);
      });
      answer.once('end', done).once('error', reject);
    });
    outgoing.once('error', reject).end();
  });
}
