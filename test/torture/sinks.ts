// What stands beside the sessions of a torture: a receiver of webhooks, a session for probes, and what the API shows.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient } from '../../packages/api/src/index.ts';
import type { WebhookHistory } from './history.ts';
import type { Random } from './random.ts';
import { SERVER_KEY, type Setting } from './setting.ts';
import { startWebhookReceiver } from './webhook-receiver.ts';

export interface Sinks {
  /** Resolves when the server has answered a write. */
  readonly untilWrites: (url: string) => Promise<void>;
  /** Waits until every delivery has arrived or failed, as long as that may take. */
  settle(limitMs: number): Promise<WebhookHistory>;
  /** Of each sandbox of any server, its session; one too many has a moment to go. */
  sandboxes(): Promise<readonly string[]>;
  close(): Promise<void>;
}

const PROBE_MS = 1000;
const PROBE_PAUSE_MS = 50;
/** Longer than any fault may be felt; the checker judges how long it was. */
const PROBE_LIMIT_MS = 60_000;
/** By when a server must have noticed that a session of its own went on elsewhere. */
const ORPHAN_LIMIT_MS = 10_000;

export async function openSinks(setting: Setting, client: Client, random: Random): Promise<Sinks> {
  const receiver = await startWebhookReceiver(random);
  const first = setting.servers[0]?.control.url ?? '';
  const webhook = await ask<{ id: string; secret: string }>(first, 'POST', '/v1/webhooks', {
    url: receiver.url,
    events: ['cloister.turn.ended', 'session.status_idled', 'session.requires_action'],
  });
  receiver.expect(webhook.secret);
  const { data: environments } = await client.environments.list();
  const { data: agents } = await client.agents.list();
  const probe = await client.sessions.create({ agent: agents[0]?.id ?? '', environment_id: environments[0]?.id ?? '' });
  let probes = 0;

  async function untilWrites(url: string): Promise<void> {
    const deadline = performance.now() + PROBE_LIMIT_MS;
    const patient = createClient({
      url,
      key: SERVER_KEY,
      fetch: (target, init) => fetch(target, { ...init, signal: AbortSignal.timeout(PROBE_MS) }),
    });
    while (performance.now() < deadline) {
      const isWritten = await patient.sessions.update(probe.id, { metadata: { probe: String(probes++) } }).then(
        () => true,
        () => false,
      );
      if (isWritten) return;
      await sleep(PROBE_PAUSE_MS);
    }
  }

  const deliveries = async (state: string): Promise<string[]> => {
    const page = await ask<{ data: { message_id: string }[] }>(
      first,
      'GET',
      `/v1/webhooks/${webhook.id}/deliveries?limit=100&state=${state}`,
    );
    return page.data.map((one) => one.message_id);
  };

  return {
    untilWrites,
    async settle(limitMs) {
      const deadline = performance.now() + limitMs;
      for (;;) {
        const open = (await deliveries('pending')).length + (await deliveries('unknown')).length;
        if (open > 0 && performance.now() < deadline) await sleep(PROBE_PAUSE_MS);
        else return { delivered: [...receiver.delivered], deadLetters: await deliveries('failed'), open };
      }
    },
    async sandboxes() {
      const deadline = performance.now() + ORPHAN_LIMIT_MS;
      for (;;) {
        const lists = await Promise.all(
          setting.servers.map(({ control }) => ask<{ data: { session_id: string }[] }>(control.url, 'GET', '/v1/sandboxes')),
        );
        const all = lists.flatMap(({ data }) => data.map((sandbox) => sandbox.session_id));
        // The probe's may have been opened before a message that never comes.
        const sessions = all.filter((id) => id !== probe.id);
        if (new Set(sessions).size === sessions.length || performance.now() > deadline) return sessions;
        await sleep(PROBE_PAUSE_MS);
      }
    },
    close: () => receiver.close(),
  };
}

/** For the routes that the typed client does not have. */
async function ask<T>(url: string, method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { 'x-api-key': SERVER_KEY, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  // What the API's own schemas describe.
  return (await response.json()) as T;
}
