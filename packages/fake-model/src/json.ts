export type Json = Readonly<Record<string, unknown>>;

export function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The records of a list; anything else in it, or no list at all, is left out. */
export function records(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function parseBody(raw: string): Json {
  try {
    const value: unknown = JSON.parse(raw);
    return isRecord(value) ? value : {};
  } catch {
    // A body that is no JSON is recorded like any other; the route then finds nothing in it.
    return {};
  }
}

/** About four characters a token: close enough for counters, and always the same. */
export function countTokens(content: string): number {
  return Math.max(1, Math.ceil(content.length / 4));
}
