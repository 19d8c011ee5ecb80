import { systemClock } from '../../src/base/clock.ts';
import { createSession, lease, queue } from '../../src/store/conformance/kit.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { Recorder } from '../../src/turns/recorder.ts';

/** A leased turn in a store of its own, and what writes its events. */
export async function openRecordedTurn() {
  const store = await openSqliteStore({ file: ':memory:', clock: systemClock });
  const { id: sessionId } = await createSession(store);
  const turnId = await queue(store, sessionId);
  const { turn } = await lease(store);
  const giveUp = new AbortController().signal;
  const deps = { store, clock: systemClock, giveUp, publishPreview: () => undefined, nameTool: (name: string) => ({ name }) };
  return { store, sessionId, turnId, recorder: new Recorder(deps, { turnId, attempt: turn.attempt, sessionId }) };
}
