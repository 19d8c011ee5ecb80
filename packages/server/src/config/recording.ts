/** What a setting is, told by the code that reads it. */
export type SettingKind = 'text' | 'secret' | 'whole number' | 'seconds' | 'true or false' | 'choice' | 'list' | 'path' | 'URL' | 'ports';

export interface SettingRead {
  readonly name: string;
  readonly kind: SettingKind;
  /** As one would write it; undefined for none, and for one that depends on other things. */
  readonly fallback?: string | undefined;
  /** What may be written, in words. */
  readonly allowed?: string | undefined;
  readonly isSecret?: boolean;
}

let sink: ((read: SettingRead) => void) | undefined;

export function recordRead(read: SettingRead): void {
  sink?.(read);
}

/** All that `load` reads, which must not be asynchronous: so the list of settings is the code that parses them. */
export function readsOf(load: () => unknown): readonly SettingRead[] {
  const reads: SettingRead[] = [];
  const before = sink;
  sink = (read) => reads.push(read);
  try {
    load();
  } finally {
    sink = before;
  }
  return reads;
}
