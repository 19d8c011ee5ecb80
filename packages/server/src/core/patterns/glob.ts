import type { Instruction, Program } from './program.ts';

const ANY = () => true;

/** `*` stands for any characters, line breaks and slashes too, `?` for one, `\` takes the next as it is. */
export function compileGlob(pattern: string): Program {
  const program: Instruction[] = [];
  const characters = Array.from(pattern);
  for (let index = 0; index < characters.length; index++) {
    const character = characters[index];
    if (character === '*') {
      if (characters[index - 1] === '*' && index > 0) continue;
      const at = program.length;
      program.push({ op: 'split', first: at + 1, second: at + 3 }, { op: 'one', accepts: ANY }, { op: 'jump', to: at });
    } else if (character === '?') program.push({ op: 'one', accepts: ANY });
    else {
      const literal = character === '\\' && index + 1 < characters.length ? characters[++index] : character;
      const wanted = literal?.codePointAt(0);
      program.push({ op: 'one', accepts: (point) => point === wanted });
    }
  }
  return [...program, { op: 'match' }];
}
