/**
 * Patterns are run as a set of states that moves along the text, so the time a match takes grows with text times pattern
 * and never beyond: no pattern, however it is written, can hold the server up.
 */
export type Instruction =
  | { readonly op: 'one'; readonly accepts: (point: number) => boolean }
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  | { readonly op: 'start' }
  | { readonly op: 'end' }
  | { readonly op: 'match' };

export type Program = readonly Instruction[];

/** Longest text that a pattern is tried on, in characters. */
export const MAX_TEXT = 8192;
/** Longest program; a pattern that needs more is refused when it is written. */
export const MAX_PROGRAM = 400;

/** Whether all of the text is what the program describes. */
export function matches(program: Program, text: string): boolean {
  const points = Array.from(text, (character) => character.codePointAt(0) ?? 0);
  const marks = new Int32Array(program.length).fill(-1);
  let current: number[] = [];
  let next: number[] = [];

  /** Adds a state with all that it leads to without a character. */
  function add(list: number[], from: number, at: number): void {
    const open = [from];
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      const instruction = program[state];
      if (instruction === undefined || marks[state] === at) continue;
      marks[state] = at;
      if (instruction.op === 'jump') open.push(instruction.to);
      else if (instruction.op === 'split') open.push(instruction.second, instruction.first);
      else if (instruction.op === 'start' || instruction.op === 'end') {
        if (at === (instruction.op === 'start' ? 0 : points.length)) open.push(state + 1);
      } else list.push(state);
    }
  }

  add(current, 0, 0);
  for (const [at, point] of points.entries()) {
    if (current.length === 0) return false;
    for (const state of current) {
      const instruction = program[state];
      if (instruction?.op === 'one' && instruction.accepts(point)) add(next, state + 1, at + 1);
    }
    [current, next] = [next, current];
    next.length = 0;
  }
  return current.some((state) => program[state]?.op === 'match');
}
