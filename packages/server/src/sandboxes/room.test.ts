import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPlatformError } from '../base/errors.ts';
import { createRoom } from './room.ts';

const never = new AbortController().signal;

/** A room whose places are freed when the test says so. */
function roomOf(max: number) {
  const asked: ((isFree: boolean) => void)[] = [];
  const room = createRoom({ max, free: () => new Promise((resolve) => asked.push(resolve)) });
  return { room, asked };
}

test('who waits longest comes first, whoever has made the place', async () => {
  const { room, asked } = roomOf(1);
  await room.take(never);
  const order: string[] = [];
  const first = room.take(never).then(() => order.push('first'));
  const second = room.take(never).then(() => order.push('second'));
  assert.equal(asked.length, 2, 'a place is freed for each');
  room.give();
  asked[1]?.(true);
  await first;
  room.give();
  asked[0]?.(true);
  await second;
  assert.deepEqual(order, ['first', 'second']);
});

test('one that waits goes on asking until a place is there', async () => {
  const { room, asked } = roomOf(1);
  await room.take(never);
  const waiting = room.take(never);
  asked[0]?.(true);
  await new Promise(setImmediate);
  assert.equal(asked.length, 2, 'the place that was freed was no place for it');
  room.give();
  await waiting;
});

test('where none can be freed it says so, and the next one that is given back is free', async () => {
  const { room, asked } = roomOf(1);
  await room.take(never);
  const refused = room.take(never);
  asked[0]?.(false);
  await assert.rejects(refused, (error) => isPlatformError(error, 'capacity_exhausted'));
  room.give();
  await room.take(never);
});

test('one that gives up waits no longer, and takes no place', async () => {
  const { room } = roomOf(1);
  await room.take(never);
  const stop = new AbortController();
  const waiting = room.take(stop.signal);
  stop.abort(new Error('stopped'));
  await assert.rejects(waiting, /stopped/);
  room.give();
  await room.take(never);
  await assert.rejects(room.take(stop.signal), /stopped/);
});

test('a place that is taken ahead of time leaves others free, and passes nobody by', async () => {
  const { room } = roomOf(2);
  assert.equal(room.takeFree(2), false);
  assert.equal(room.takeFree(1), true);
  assert.equal(room.takeFree(1), false, 'the last one is left');
  await room.take(never);
  const waiting = room.take(never);
  room.give();
  await waiting;
  assert.equal(room.takeFree(0), false);
});
