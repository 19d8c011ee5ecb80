/**
 * Calls `run` once the input that is already there has been handled, so that what arrives in the same
 * moment can be done together. Keeps the process alive until then.
 */
export function onNextTick(run: () => void): void {
  setImmediate(run);
}
