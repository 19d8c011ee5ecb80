import assert from 'node:assert/strict';
import type { Published } from './agent-http-requests.ts';

export interface Sent {
  readonly request: Published;
  readonly text: string;
}

/** Sends requests as they are published, in their order, with another host and with a key. */
export async function sendPublished(url: string, key: string, requests: readonly Published[]): Promise<readonly Sent[]> {
  const sent: Sent[] = [];
  let session = '';
  for (const request of requests) {
    const { what, method, path, body, accept, status, fields = [] } = request;
    const response = await fetch(`${url}${path.replace('{session}', session)}`, {
      method,
      headers: {
        'x-api-key': key,
        ...(accept === undefined ? {} : { accept }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body).replaceAll('{session}', session) }),
    });
    const text = await response.text();
    assert.equal(response.status, status, `${what}: ${text}`);
    const isJson = (response.headers.get('content-type') ?? '').startsWith('application/json');
    const answer = isJson ? JSON.parse(text) : {};
    for (const field of fields) assert.ok(answer[field] !== undefined, `${what} answers ${field}: ${text}`);
    if (method === 'POST' && status === 201) session = answer.session_id;
    sent.push({ request, text });
  }
  return sent;
}

/** The events of a stream as its clients read them: line by line, what begins with `data: `. */
export function chunksOf(stream: string): readonly Record<string, unknown>[] {
  return stream.split('\n').flatMap((line) => (line.startsWith('data: ') ? [JSON.parse(line.slice('data: '.length))] : []));
}
