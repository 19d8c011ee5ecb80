import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { newWebhookSecret } from '../base/ids.ts';
import { signedHeaders } from './signing.ts';

const BODY = '{"type":"event","id":"evt_1","created_at":"2026-01-01T00:00:00.000Z","data":{"type":"session.created","id":"ses_1"}}';
const client = new Anthropic({ apiKey: 'unused' });
const unwrap = (body: string, headers: Record<string, string>, key: string) => client.beta.webhooks.unwrap(body, { headers, key });

describe('signatures of webhooks', () => {
  it('are those of the published example', () => {
    const headers = signedHeaders({
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      body: '{"test": 2432232314}',
      secrets: [{ value: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', until: null }],
      now: 1_614_265_330_999,
    });
    assert.deepEqual(headers, {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  it('are accepted by the official SDK', () => {
    const secret = newWebhookSecret();
    assert.equal(Buffer.from(secret.slice('whsec_'.length), 'base64').length, 32);
    const body = BODY.replace('ses_1', 'ses_é✓');
    const headers = signedHeaders({ id: 'evt_1', body, secrets: [{ value: secret, until: null }], now: Date.now() });
    assert.deepEqual(unwrap(body, headers, secret), JSON.parse(body));
  });

  it('are refused by it when body, id, time or key are not those that were signed', () => {
    const [secret, now] = [newWebhookSecret(), Date.now()];
    const sign = (at: number) => signedHeaders({ id: 'evt_1', body: BODY, secrets: [{ value: secret, until: null }], now: at });
    const headers = sign(now);
    assert.throws(() => unwrap(BODY.replace('ses_1', 'ses_2'), headers, secret), /No matching signature/);
    assert.throws(() => unwrap(BODY, { ...headers, 'webhook-id': 'evt_2' }, secret), /No matching signature/);
    assert.throws(() => unwrap(BODY, headers, newWebhookSecret()), /No matching signature/);
    assert.throws(() => unwrap(BODY, sign(now - 6 * 60_000), secret), /too old/);
    assert.throws(() => unwrap(BODY, sign(now + 6 * 60_000), secret), /too new/);
    const later = { ...sign(now - 6 * 60_000), 'webhook-timestamp': headers['webhook-timestamp'] };
    assert.throws(() => unwrap(BODY, later, secret), /No matching signature/);
  });

  it('are by every secret that is still in use while one is rotated', () => {
    const [current, former, past] = [newWebhookSecret(), newWebhookSecret(), newWebhookSecret()];
    const now = Date.now();
    const secrets = [
      { value: current, until: null },
      { value: former, until: now + 1 },
      { value: past, until: now },
    ];
    const headers = signedHeaders({ id: 'evt_1', body: BODY, secrets, now });
    assert.equal(headers['webhook-signature'].split(' ').length, 2);
    for (const key of [current, former]) assert.deepEqual(unwrap(BODY, headers, key), JSON.parse(BODY));
    assert.throws(() => unwrap(BODY, headers, past), /No matching signature/);
  });
});
