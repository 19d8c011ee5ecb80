import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { createClient } from '@cloister/api';
import { testBrowser } from '../support/browser-session.ts';
import { startProxy } from '../support/proxy-server.ts';
import { startTestServer } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const PASSWORD = 'word-of-the-proxy';

describe('a server behind a proxy', { timeout: 120_000 }, () => {
  it('goes by it for webhooks, tests of keys, the identity provider and traces, as its settings say', async () => {
    const outside = createServer((request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[{"id":"one"}]}');
    });
    await once(outside.listen(0, '127.0.0.1'), 'listening');
    // As: it listens on TCP.
    const { port } = outside.address() as AddressInfo;
    await using proxy = await startProxy();
    proxy.credentials = `Basic ${Buffer.from(`me:${PASSWORD}`).toString('base64')}`;
    const url = proxy.url.replace('://', `://me:${PASSWORD}@`);
    const at = (name: string) => `http://${name}.invalid:${port}`;
    try {
      await using server = await startTestServer({
        env: {
          HTTPS_PROXY: url,
          HTTP_PROXY: url,
          NO_PROXY: 'direct.invalid',
          OIDC_ISSUER: `https://idp.invalid:${port}`,
          OIDC_CLIENT_ID: 'cloister',
          OTEL_EXPORTER_OTLP_ENDPOINT: at('collector'),
        },
      });
      const client = createClient({ url: server.url, key: server.key });
      const passed = (what: string) => waitFor(() => proxy.passed.includes(what) || undefined, { timeoutMs: 20_000, what });

      const hook = await client.webhooks.create({ url: `${at('hook')}/take`, events: ['session.status_idled'] });
      await client.webhooks.test(hook.id);
      await passed(`POST ${at('hook')}/take`);
      await waitFor(async () => ((await client.webhooks.deliveries(hook.id)).data[0]?.state === 'sent' ? true : undefined), {
        timeoutMs: 20_000,
        what: 'the delivery',
      });

      const vault = await client.vaults.create({ display_name: 'keys' });
      const auth = { type: 'provider_key' as const, provider: 'openai' as const, api_key: 'sk-0123456789' };
      const one = await client.vaults.credentials.create(vault.id, { auth: { ...auth, base_url: at('provider') } });
      const tested = await client.vaults.credentials.test(vault.id, one.id);
      assert.equal(tested.result, 'ok', JSON.stringify(tested));
      assert.ok(proxy.passed.includes(`GET ${at('provider')}/v1/models`));

      const direct = await client.vaults.credentials.create(vault.id, { auth: { ...auth, provider: 'deepseek', base_url: at('direct') } });
      assert.equal((await client.vaults.credentials.test(vault.id, direct.id)).result, 'unreachable');
      assert.ok(!proxy.passed.some((what) => what.includes('direct.invalid')));

      // It speaks no TLS there, so the sign-in ends; but it is asked, and by the proxy.
      assert.equal((await testBrowser(server).send('GET', '/v1/auth/oidc/start')).status >= 400, true);
      assert.ok(proxy.passed.includes(`CONNECT idp.invalid:${port}`));
      await passed(`POST ${at('collector')}/v1/traces`);

      proxy.credentials = 'others by now';
      const refused = await client.vaults.credentials.test(vault.id, one.id);
      assert.match(refused.message, /the proxy of HTTP_PROXY wants a user and a password/);
      assert.ok(!JSON.stringify(refused).includes(PASSWORD));
    } finally {
      outside.closeAllConnections();
      outside.close();
    }
  });
});
