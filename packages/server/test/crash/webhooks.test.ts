import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

it('a webhook under way when the server is killed arrives after the restart, under its id', { timeout: 60_000 }, async () => {
  const ids: string[] = [];
  let isTaking = false;
  const receiver = createServer((request, response) => {
    ids.push(String(request.headers['webhook-id']));
    if (isTaking) response.writeHead(204).end();
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  try {
    await using server = await startServerProcess({ env: { CLOISTER_RUNTIME: 'fake', WEBHOOK_ALLOW_PRIVATE_NETWORK: 'true' } });
    const api = async (method: string, path: string, body?: unknown): Promise<Wire> => {
      const response = await fetch(`${server.url}${path}`, {
        method,
        headers: { 'x-api-key': ADMIN_KEY, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      assert.equal(response.status, 200, path);
      return response.json();
    };
    const { id } = await api('POST', '/v1/webhooks', { url, events: '*' });
    await api('POST', '/v1/agents', { name: 'told of', model: 'demo' });
    await waitFor(() => ids.length === 1, { timeoutMs: 10_000, what: 'the first attempt' });
    await server.kill('SIGKILL');
    isTaking = true;
    await server.start();
    // Long before the dead server's lease runs out.
    await waitFor(() => ids.length === 2, { timeoutMs: 10_000, what: 'the second attempt' });
    assert.equal(ids[1], ids[0]);
    const state = async () => (await api('GET', `/v1/webhooks/${id}/deliveries`)).data[0].state;
    await waitFor(async () => (await state()) === 'sent', { timeoutMs: 5000, what: 'the delivery to be settled' });
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
});
