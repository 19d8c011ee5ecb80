import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createClient } from '@cloister/api';
import { startFakeModel } from '@cloister/fake-model';
import { engineMissing } from '../support/engine.ts';
import { ADMIN_KEY, startServerProcess } from '../support/server-process.ts';

const KEY = 'sk-real-key-of-the-fault-tests';

/** What the model does, and the one code that the turn must end with. */
const FAULTS: readonly (readonly [directive: string, code: string])[] = [
  ['[[error 401]]', 'model_authentication_failed'],
  ['[[error 400]]', 'model_request_rejected'],
  ['[[error 500]]', 'model_api_failed'],
  ['[[error 529]]', 'model_overloaded'],
  ['[[retryafter 1]]', 'model_rate_limited'],
  ['[[cut]]', 'model_stream_cut'],
  ['[[silent 600000]]', 'model_silent'],
];

/** An answer without its final event: the built-in agent calls it cut, while Claude's takes what came as whole. */
const UNFINISHED = ['[[nofinish]]', 'model_stream_cut'] as const;

for (const harness of ['builtin', 'claude']) {
  const faults = harness === 'builtin' ? [...FAULTS, UNFINISHED] : FAULTS;
  describe(`what goes wrong with the model, with ${harness}`, () => {
    it('ends the turn with its exact reason, and never hangs', async (t) => {
      const missing = await engineMissing();
      if (missing !== false) return t.skip(missing);
      const model = await startFakeModel({ requireKey: KEY });
      try {
        await using server = await startServerProcess({
          env: {
            MAX_TURN_ATTEMPTS: '1',
            ANTHROPIC_API_KEY: KEY,
            ANTHROPIC_BASE_URL: model.url,
            CLOISTER_MODEL: 'claude-sonnet-4-5',
            CLOISTER_HARNESS: harness,
            MODEL_IDLE_SECONDS: '2',
          },
          readyMs: 300_000,
        });
        const client = createClient({ url: server.url, key: ADMIN_KEY });
        const [agent, environment] = [(await client.agents.list()).data[0], (await client.environments.list()).data[0]];
        const seen: [string, string | undefined, string | undefined][] = [];
        for (const [directive] of faults) {
          const session = await client.sessions.create({ agent: agent?.id ?? '', environment_id: environment?.id ?? '' });
          const { turn } = await client.events.send(session.id, [{ type: 'user.message', content: directive }], { wait: 120 });
          seen.push([directive, turn?.outcome ?? undefined, turn?.error?.code]);
          await client.sessions.archive(session.id);
        }
        assert.deepEqual(
          seen,
          faults.map(([directive, code]) => [directive, 'failed', code]),
        );
      } finally {
        await model.close();
      }
    });
  });
}
