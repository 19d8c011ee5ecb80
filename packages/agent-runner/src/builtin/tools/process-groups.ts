/** How long a group has between being asked to end and being killed. */
const GRACE_MS = 200;

/** The process groups of the agent's commands, those of background processes that outlive their command included. */
export interface ProcessGroups {
  add(id: number): void;
  /** Forgets the group if nothing of it is left. */
  settle(id: number): void;
  /** Asks the group to end, and soon kills what is left of it. */
  end(id: number): void;
  /** Kills all of them at once. Answers how many there were. */
  killAll(): number;
}

export function createProcessGroups(): ProcessGroups {
  const ids = new Set<number>();
  const settle = (id: number) => {
    if (!signalGroup(id, 0)) ids.delete(id);
  };
  return {
    add: (id) => {
      ids.add(id);
    },
    settle,
    end(id) {
      if (!ids.has(id) || !signalGroup(id, 'SIGTERM')) return;
      setTimeout(() => {
        signalGroup(id, 'SIGKILL');
        ids.delete(id);
      }, GRACE_MS).unref();
    },
    killAll() {
      const killed = [...ids].filter((id) => signalGroup(id, 'SIGKILL'));
      ids.clear();
      return killed.length;
    },
  };
}

/** False when the group has gone. */
function signalGroup(id: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-id, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}
