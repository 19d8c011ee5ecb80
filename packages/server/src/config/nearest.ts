/** The known name that is meant, if one is near enough. */
export function nearest(given: string, known: Iterable<string>): string | undefined {
  const [best] = [...known].map((one) => ({ one, distance: distanceOf(given, one) })).toSorted((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= Math.max(2, given.length / 3) ? best.one : undefined;
}

/** How many letters have to be changed, added or taken out. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row.at(-1) ?? 0;
}
