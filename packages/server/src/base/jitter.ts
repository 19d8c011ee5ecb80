/** Between half of `ms` and the whole, so that those who wait for the same do not all come at once. */
export function jittered(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}
