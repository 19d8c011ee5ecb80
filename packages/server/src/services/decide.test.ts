import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServiceObservation } from '../runtime/services.ts';
import type { ServiceRow } from '../store/store.ts';
import { decide, type Situation, type Step } from './decide.ts';

const NOW = 1_000_000;
const settings = { restartBaseMs: 1000, maxRestarts: 3, restartWindowMs: 60_000 };
const OWN = 'inc_one';

const row = (changes: Partial<ServiceRow> = {}): ServiceRow => ({
  id: 'svc_one',
  tenantId: 't',
  hostId: 'host',
  name: 'one',
  spec: {},
  metadata: {},
  desired: 'running',
  state: 'running',
  health: 'healthy',
  reason: null,
  generation: 1,
  startedGeneration: 1,
  incarnation: OWN,
  port: 19_000,
  restarts: [],
  nextStartAt: null,
  callbackHash: null,
  reported: null,
  startedAt: NOW,
  checkedAt: null,
  revision: 4,
  createdAt: 0,
  updatedAt: 0,
  ...changes,
});
const seen = (state: ServiceObservation['state'], exit: ServiceObservation['exit'] = null): ServiceObservation => ({
  ref: { service: 'svc_one', incarnation: OWN, handle: 'c1' },
  state,
  exit,
  isCutOff: false,
});
const situation = (changes: Partial<ServiceRow>, more: Partial<Situation> = {}): Step =>
  decide({ row: row(changes), seen: undefined, unhealthy: undefined, now: NOW, settings, ...more });
const exited = (exitCode: number | null, signal: string | null = null, isOutOfMemory = false) => ({
  seen: seen('exited', { exitCode, signal, isOutOfMemory }),
});
const NEVER = { incarnation: null, startedGeneration: 0, state: 'pending' } as const;

describe('what is done about a service', () => {
  const steps: readonly (readonly [what: string, step: Step, type: Step['type'], state?: string])[] = [
    ['one that is new is started', situation(NEVER), 'launch'],
    ['one that waits is left waiting', situation({ incarnation: null, state: 'backoff', nextStartAt: NOW + 1 }), 'none'],
    ['one whose wait is over is started', situation({ incarnation: null, state: 'backoff', nextStartAt: NOW }), 'launch'],
    ['a name without a container is gone on with', situation({ state: 'starting' }), 'resume'],
    ['what is there of it before its container is kept', situation({ state: 'starting' }, { seen: seen('missing') }), 'resume'],
    ['a container that was not started is started', situation({ state: 'starting' }, { seen: seen('created') }), 'resume'],
    ['one that was started is known to run', situation({ state: 'starting' }, { seen: seen('running') }), 'record', 'running'],
    ['one that runs is left alone', situation({}, { seen: seen('running') }), 'none'],
    ['one that ended is started again', situation({}, exited(1)), 'clear', 'backoff'],
    ['one that was taken away is started again', situation({}), 'clear', 'backoff'],
    ['so is one of which something is left', situation({}, { seen: seen('missing') }), 'clear', 'backoff'],
    ['one that nobody reaches is started again', situation({}, { seen: { ...seen('running'), isCutOff: true } }), 'clear', 'backoff'],
    ['one that is unwell is started again', situation({}, { seen: seen('running'), unhealthy: 'unwell' }), 'clear', 'backoff'],
    ['one that has failed is left alone', situation({ incarnation: null, state: 'failed' }), 'none'],
    ['one that has failed is started when asked', situation({ incarnation: null, state: 'failed', generation: 2 }), 'launch'],
    ['one that is to be renewed is cleared first', situation({ generation: 2 }, { seen: seen('running') }), 'clear', 'pending'],
    ['one that is to stop is stopped', situation({ desired: 'stopped' }, { seen: seen('running') }), 'clear', 'stopped'],
    ['a stop that broke off is finished', situation({ desired: 'stopped', state: 'stopping' }), 'clear', 'stopped'],
    ['one that has stopped stays so', situation({ desired: 'stopped', state: 'stopped', incarnation: null }), 'none'],
    ['one that never ran stops too', situation({ ...NEVER, desired: 'stopped' }), 'record', 'stopped'],
    ['one that is to go goes', situation({ desired: 'deleted' }, { seen: seen('running') }), 'purge'],
    ['one that is to go goes, whatever it was', situation({ ...NEVER, desired: 'deleted', state: 'failed' }), 'purge'],
  ];
  for (const [what, step, type, state] of steps)
    it(what, () => {
      assert.equal(step.type, type);
      if ('changes' in step) assert.equal(step.changes.state, state);
    });

  it('tells exactly why one ended', () => {
    const reasons = [exited(3), exited(null, 'SIGKILL'), exited(null, 'SIGKILL', true), {}].map((more) => {
      const step = situation({}, more);
      return 'changes' in step ? step.changes.reason : undefined;
    });
    assert.deepEqual(reasons, [
      'it exited with code 3',
      'it was ended by SIGKILL',
      'it ran out of memory',
      'its container was removed from outside',
    ]);
  });

  it('waits twice as long each time, then gives up; restarts of long ago do not count', () => {
    const after = (...restarts: number[]) => {
      const step = situation({ restarts }, exited(1));
      assert.equal(step.type, 'clear');
      return step.type === 'clear' ? step.changes : undefined;
    };
    assert.equal(after()?.nextStartAt, NOW + 1000);
    assert.equal(after(NOW - 3000)?.nextStartAt, NOW + 2000);
    assert.equal(after(NOW - 3000, NOW - 2000)?.nextStartAt, NOW + 4000);
    const last = after(NOW - 3000, NOW - 2000, NOW - 1000);
    assert.deepEqual([last?.state, last?.nextStartAt, last?.incarnation], ['failed', null, null]);
    assert.match(last?.reason ?? '', /^crash loop, 3 restarts within 60 s: it exited with code 1$/);
    assert.equal(after(NOW - 70_000, NOW - 65_000, NOW - 60_001)?.state, 'backoff');
  });
});
