import { newUnique } from '../base/ids.ts';

/** A name that nothing has, for what is on its way. */
export function randomName(): string {
  return `.cloister-${newUnique()}`;
}
