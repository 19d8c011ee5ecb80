import { PlatformError } from '../base/errors.ts';
import type { Harness } from './harness.ts';

/** The harnesses of this installation. */
export interface HarnessCatalog {
  readonly defaultId: string;
  ids(): readonly string[];
  find(id: string): Harness | undefined;
  /** Throws `harness_unknown`, naming the known ones. */
  require(id: string): Harness;
}

export function createHarnessCatalog(harnesses: readonly Harness[], defaultId: string | undefined): HarnessCatalog {
  const byId = new Map(harnesses.map((harness) => [harness.id, harness]));
  const require = (id: string): Harness => {
    const harness = byId.get(id);
    if (harness !== undefined) return harness;
    throw new PlatformError('harness_unknown', { detail: `There is no harness "${id}" here. There are: ${[...byId.keys()].join(', ')}.` });
  };
  const first = harnesses[0];
  const chosen = defaultId ?? first?.id ?? '';
  require(chosen);
  return { defaultId: chosen, ids: () => [...byId.keys()], find: (id) => byId.get(id), require };
}
