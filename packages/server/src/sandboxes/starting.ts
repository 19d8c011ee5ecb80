import type { ExitReport, SandboxRef } from '../runtime/driver.ts';
import type { DesiredSandbox } from '../runtime/upkeep.ts';

/**
 * The sandboxes that were made and are not ready yet. They belong to nobody but their own start, which would wait for
 * its timeout if somebody paused or removed one meanwhile.
 */
export interface Starting {
  /** Counted on until the returned function is called; `lose` ends its start. */
  add(ref: SandboxRef, lose: (report: ExitReport) => void): () => void;
  desired(): readonly DesiredSandbox[];
}

export function createStarting(): Starting {
  const all = new Set<DesiredSandbox>();
  return {
    add(ref, lose) {
      const one: DesiredSandbox = { ref, isAwake: true, lose };
      all.add(one);
      return () => void all.delete(one);
    },
    desired: () => [...all],
  };
}
