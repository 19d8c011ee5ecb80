import type { Engine } from './engine.ts';

/**
 * Transactions that run beside each other do not see what the others have ranked, and would give turns of one tenant
 * the same place in the fair order. This process keeps the ranks that it has given and not yet committed. Two servers
 * may still give the same one; a tenant then waits one slot more for each of them.
 */
export function withRanksUnderWay(engine: Engine): Engine {
  const underWay = new Map<string, number[]>();

  function take(line: string, rank: number, step: number): number {
    const taken = underWay.get(line) ?? [];
    const mine = taken.length === 0 ? rank : Math.max(rank, Math.max(...taken) + step);
    underWay.set(line, [...taken, mine]);
    return mine;
  }

  function giveBack(line: string, rank: number): void {
    const rest = (underWay.get(line) ?? []).toSpliced((underWay.get(line) ?? []).indexOf(rank), 1);
    if (rest.length === 0) underWay.delete(line);
    else underWay.set(line, rest);
  }

  return {
    ...engine,
    async write(operation) {
      let taken: (readonly [line: string, rank: number])[] = [];
      const release = (): void => {
        for (const [line, rank] of taken) giveBack(line, rank);
        taken = [];
      };
      try {
        return await engine.write((tx) => {
          // One that is done again from its start has given no rank.
          release();
          const takeRank = (line: string, rank: number, step: number): number => {
            const mine = take(line, rank, step);
            taken.push([line, mine]);
            return mine;
          };
          return operation({ ...tx, takeRank });
        });
      } finally {
        release();
      }
    },
  };
}
