import { type Instruction, MAX_PROGRAM, type Program } from './program.ts';

/** What is wrong with a pattern, for whoever wrote it. */
export class PatternError extends Error {}

type Accepts = (point: number) => boolean;
type Node =
  | { readonly type: 'one'; readonly accepts: Accepts }
  | { readonly type: 'start' | 'end' | 'empty' }
  | { readonly type: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly type: 'repeat'; readonly part: Node; readonly min: number; readonly max: number };

const MAX_REPEAT = 100;
const MAX_DEPTH = 20;

/**
 * Regular expressions without what needs going back: characters, `.`, classes, groups, `|`, `* + ? {m,n}`, `^ $`,
 * `\d \w \s \D \W \S \n \r \t`. The whole text must match. Throws PatternError.
 */
export function compileRegex(pattern: string): Program {
  const reader = createReader(pattern);
  const node = readChoice(reader, 0);
  if (reader.peek() !== undefined) throw new PatternError('a ) without its (');
  const program: Instruction[] = [];
  emit(program, node);
  program.push({ op: 'match' });
  return program;
}

interface Reader {
  peek(ahead?: number): string | undefined;
  take(): string | undefined;
  /** Takes what follows when it is this. */
  skip(expected: string): boolean;
}

function createReader(pattern: string): Reader {
  const characters = Array.from(pattern);
  let at = 0;
  return {
    peek: (ahead = 0) => characters[at + ahead],
    take: () => characters[at++],
    skip(expected) {
      const isThere = Array.from(expected).every((character, index) => characters[at + index] === character);
      if (isThere) at += Array.from(expected).length;
      return isThere;
    },
  };
}

function readChoice(reader: Reader, depth: number): Node {
  if (depth > MAX_DEPTH) throw new PatternError('too many groups in each other');
  const parts = [readSequence(reader, depth)];
  while (reader.skip('|')) parts.push(readSequence(reader, depth));
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : { type: 'choice', parts };
}

function readSequence(reader: Reader, depth: number): Node {
  const parts: Node[] = [];
  for (let next = reader.peek(); next !== undefined && next !== '|' && next !== ')'; next = reader.peek())
    parts.push(readRepeats(reader, readAtom(reader, depth)));
  return { type: 'sequence', parts };
}

function readAtom(reader: Reader, depth: number): Node {
  const character = reader.take() ?? '';
  if (character === '(') {
    if (reader.peek() === '?' && !reader.skip('?:')) throw new PatternError('groups that begin with (? are not supported, but for (?:');
    const group = readChoice(reader, depth + 1);
    if (!reader.skip(')')) throw new PatternError('a ( without its )');
    return group;
  }
  if (character === '[') return { type: 'one', accepts: readClass(reader) };
  if (character === '.') return { type: 'one', accepts: (point) => point !== 10 && point !== 13 };
  if (character === '^') return { type: 'start' };
  if (character === '$') return { type: 'end' };
  if ('*+?{'.includes(character)) throw new PatternError(`nothing to repeat before ${character}`);
  if (character === '\\') return { type: 'one', accepts: readEscape(reader) };
  return { type: 'one', accepts: is(character) };
}

function readRepeats(reader: Reader, atom: Node): Node {
  let node = atom;
  for (;;) {
    if (reader.skip('*')) node = { type: 'repeat', part: node, min: 0, max: Number.POSITIVE_INFINITY };
    else if (reader.skip('+')) node = { type: 'repeat', part: node, min: 1, max: Number.POSITIVE_INFINITY };
    else if (reader.skip('?')) node = { type: 'repeat', part: node, min: 0, max: 1 };
    else if (reader.skip('{')) node = { type: 'repeat', part: node, ...readBounds(reader) };
    else return node;
    // Whether a repetition is greedy changes nothing where all of the text must match.
    reader.skip('?');
  }
}

function readBounds(reader: Reader): { readonly min: number; readonly max: number } {
  let text = '';
  for (let next = reader.take(); next !== '}'; next = reader.take()) {
    if (next === undefined || text.length > 8) throw new PatternError('a { without its }');
    text += next;
  }
  const [, low, comma, high] = /^(\d+)(,?)(\d*)$/.exec(text) ?? [];
  if (low === undefined) throw new PatternError(`{${text}} is no number of times`);
  const min = Number(low);
  const max = comma === '' ? min : high === '' ? Number.POSITIVE_INFINITY : Number(high);
  if (min > MAX_REPEAT || (max !== Number.POSITIVE_INFINITY && max > MAX_REPEAT) || max < min)
    throw new PatternError(`{${text}} is not within 0 to ${MAX_REPEAT}`);
  return { min, max };
}

const DIGIT: Accepts = (point) => point >= 48 && point <= 57;
const WORD: Accepts = (point) => DIGIT(point) || (point >= 65 && point <= 90) || (point >= 97 && point <= 122) || point === 95;
const SPACE: Accepts = (point) => /\s/.test(String.fromCodePoint(point));
const NAMED: Readonly<Record<string, Accepts>> = { d: DIGIT, w: WORD, s: SPACE, D: not(DIGIT), W: not(WORD), S: not(SPACE) };
const CONTROLS: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function not(accepts: Accepts): Accepts {
  return (point) => !accepts(point);
}

function is(character: string): Accepts {
  const wanted = character.codePointAt(0);
  return (point) => point === wanted;
}

function readEscape(reader: Reader): Accepts {
  const character = readEscaped(reader);
  return NAMED[character] ?? is(literalOf(character));
}

function readEscaped(reader: Reader): string {
  const character = reader.take();
  if (character === undefined) throw new PatternError('a \\ at the end');
  if (/[a-zA-Z0-9]/.test(character) && NAMED[character] === undefined && CONTROLS[character] === undefined)
    throw new PatternError(`\\${character} is not supported`);
  return character;
}

function literalOf(escaped: string): string {
  return CONTROLS[escaped] ?? escaped;
}

function readClass(reader: Reader): Accepts {
  const isNegated = reader.skip('^');
  const parts: Accepts[] = [];
  while (reader.peek() !== ']') {
    const low = readClassCharacter(reader);
    if (typeof low !== 'string') parts.push(low);
    else if (reader.peek() === '-' && reader.peek(1) !== ']') {
      reader.take();
      const high = readClassCharacter(reader);
      const [from, to] = [low.codePointAt(0) ?? 0, typeof high === 'string' ? (high.codePointAt(0) ?? 0) : -1];
      if (to < from) throw new PatternError('a range whose end is before its beginning');
      parts.push((point) => point >= from && point <= to);
    } else if (reader.peek() === undefined || parts.length > MAX_PROGRAM) throw new PatternError('a [ without its ]');
    else parts.push(is(low));
  }
  reader.take();
  const any: Accepts = (point) => parts.some((accepts) => accepts(point));
  return isNegated ? not(any) : any;
}

function readClassCharacter(reader: Reader): string | Accepts {
  const character = reader.take();
  if (character === undefined) throw new PatternError('a [ without its ]');
  if (character !== '\\') return character;
  const escaped = readEscaped(reader);
  return NAMED[escaped] ?? literalOf(escaped);
}

function emit(program: Instruction[], node: Node): void {
  if (program.length >= MAX_PROGRAM) throw new PatternError('it is too long, or repeats too much');
  if (node.type === 'one') program.push({ op: 'one', accepts: node.accepts });
  else if (node.type === 'start' || node.type === 'end') program.push({ op: node.type });
  else if (node.type === 'sequence') for (const part of node.parts) emit(program, part);
  else if (node.type === 'choice') emitChoice(program, node.parts);
  else if (node.type === 'repeat') emitRepeat(program, node);
}

function emitChoice(program: Instruction[], parts: readonly Node[]): void {
  const jumps: Extract<Instruction, { op: 'jump' }>[] = [];
  for (const [index, part] of parts.entries()) {
    if (index === parts.length - 1) {
      emit(program, part);
      break;
    }
    const split: Extract<Instruction, { op: 'split' }> = { op: 'split', first: program.length + 1, second: 0 };
    program.push(split);
    emit(program, part);
    const jump: Extract<Instruction, { op: 'jump' }> = { op: 'jump', to: 0 };
    program.push(jump);
    jumps.push(jump);
    split.second = program.length;
  }
  for (const jump of jumps) jump.to = program.length;
}

function emitRepeat(program: Instruction[], { part, min, max }: Extract<Node, { type: 'repeat' }>): void {
  for (let times = 0; times < min; times++) emit(program, part);
  if (max === Number.POSITIVE_INFINITY) {
    const at = program.length;
    const split: Extract<Instruction, { op: 'split' }> = { op: 'split', first: at + 1, second: 0 };
    program.push(split);
    emit(program, part);
    program.push({ op: 'jump', to: at });
    split.second = program.length;
    return;
  }
  const splits: Extract<Instruction, { op: 'split' }>[] = [];
  for (let times = min; times < max; times++) {
    const split: Extract<Instruction, { op: 'split' }> = { op: 'split', first: program.length + 1, second: 0 };
    program.push(split);
    splits.push(split);
    emit(program, part);
  }
  for (const split of splits) split.second = program.length;
}
