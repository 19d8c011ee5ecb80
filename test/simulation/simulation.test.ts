import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFECTS } from './defects.ts';
import { report } from './report.ts';
import { simulate } from './run.ts';

const SEEDS = 200;

/** Which rule sees which mistake; more than one may. */
const CONTROLS: Readonly<Record<string, RegExp>> = {
  no_fencing: /stale attempt|one outcome|one turn at a time|no tool runs twice/,
  lease_never_renewed: /one holder/,
  ack_before_commit: /nothing is lost|one key, one message|thin air/,
  idempotency_forgotten: /one key, one message/,
  retry_not_counted: /retries|everything ends/,
  caps_ignored: /caps/,
  tool_log_ignored: /no tool runs twice/,
  delivery_forgotten: /sent means received/,
  stop_not_seen: /everything ends/,
};

/** Seeds that have shown a bug of the product once. */
const PINNED = {
  'a wall clock that jumps a day made keys expire': [44],
  'a tenant with a backlog in one session was served again and again before those who waited': [96],
  'a turn that went on was told to make calls again that had run': [1, 9],
  'a message was handed to an agent that does not ask, and its tools ran again in a turn of its own': [68],
  'an answer came while a parked turn could not be written yet, and its tool ran twice': [19],
  'a message was handed to an agent that went on after a crash, and was worked on twice': [6],
} satisfies Record<string, readonly number[]>;

describe('simulated clusters', () => {
  it(`break no rule, from any of ${SEEDS} seeds`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) await holds(seed);
  });

  for (const [what, seeds] of Object.entries(PINNED)) {
    it(`no longer break one where ${what}`, async () => {
      for (const seed of seeds) await holds(seed);
    });
  }

  it('have one history for each seed', async () => {
    const [first, second, other] = [await simulate(7), await simulate(7), await simulate(8)];
    assert.ok(first.events > 100);
    assert.equal(first.hash, second.hash);
    assert.deepEqual(first.tail(50), second.tail(50));
    assert.notEqual(first.hash, other.hash);
  });

  for (const [name, defect] of Object.entries(DEFECTS)) {
    it(`show the defect ${name}`, async () => {
      const rule = CONTROLS[name] ?? assert.fail(`${name} has a rule that sees it`);
      for (let seed = 1; seed <= SEEDS; seed++) {
        const { violations } = await simulate(seed, defect);
        if (violations.some((violation) => rule.test(violation.rule))) return;
      }
      assert.fail(`no seed up to ${SEEDS} shows ${name}`);
    });
  }
});

async function holds(seed: number): Promise<void> {
  const result = await simulate(seed);
  if (result.violations.length > 0) assert.fail(report(result));
}
