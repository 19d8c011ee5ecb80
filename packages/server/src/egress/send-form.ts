import type { SendForm } from '../core/oauth.ts';
import { fetchSmall } from './fetch-small.ts';
import type { UpstreamAgents } from './upstream-agents.ts';

const CONNECT_MS = 10_000;

/** By connections of its own, since the next one to the same place is an hour away. */
export function createSendForm(openAgents: (timeoutMs: number) => UpstreamAgents): SendForm {
  return async (url, { method, headers, body, signal }) => {
    const agents = openAgents(CONNECT_MS);
    try {
      const answer = await fetchSmall(url, { method, headers: { ...headers }, body: Buffer.from(body), agents, signal });
      return { status: answer.status, contentType: answer.headers['content-type'] ?? '', body: answer.body };
    } finally {
      agents.close();
    }
  };
}
