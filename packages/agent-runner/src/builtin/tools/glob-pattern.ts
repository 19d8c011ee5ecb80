import path from 'node:path';

const MAGIC = /[*?[\]{}]/;

export interface GlobPattern {
  /** The directory that the pattern's fixed beginning leads to. */
  readonly root: string;
  /** Matches paths below the root, with `/`. Undefined when the pattern is the root itself, without wildcards. */
  readonly matcher: RegExp | undefined;
}

/** Reads a doublestar pattern. Names that begin with a dot are matched like any other. Throws `SyntaxError` for a broken one. */
export function parseGlob(base: string, pattern: string): GlobPattern {
  const segments = pattern.split('/');
  const firstMagic = segments.findIndex((segment) => MAGIC.test(segment));
  const fixed = firstMagic < 0 ? segments : segments.slice(0, firstMagic);
  const prefix = pattern.startsWith('/') ? `/${fixed.join('/')}` : fixed.join('/');
  const root = path.resolve(base, prefix === '' ? '.' : prefix);
  if (firstMagic < 0) return { root, matcher: undefined };
  return { root, matcher: new RegExp(`^${toRegExp(segments.slice(firstMagic).join('/'))}$`, 'su') };
}

function toRegExp(pattern: string): string {
  let source = '';
  let depth = 0;
  for (let index = 0; index < pattern.length; index++) {
    const char = pattern[index] ?? '';
    if (char === '*' && pattern[index + 1] === '*') {
      const isWhole = pattern[index + 2] === '/' && (index === 0 || pattern[index - 1] === '/');
      source += isWhole ? '(?:[^/]+/)*' : '.*';
      index += isWhole ? 2 : 1;
    } else if (char === '[') {
      const end = pattern.indexOf(']', index + 2);
      if (end < 0) throw new SyntaxError('a [ is not closed');
      source += toClass(pattern.slice(index + 1, end));
      index = end;
    } else if (char === '{') {
      depth++;
      source += '(?:';
    } else if (char === '}' && depth > 0) {
      depth--;
      source += ')';
    } else if (char === ',' && depth > 0) source += '|';
    else source += char === '*' ? '[^/]*' : char === '?' ? '[^/]' : escapeChar(char);
  }
  if (depth > 0) throw new SyntaxError('a { is not closed');
  return source;
}

function toClass(content: string): string {
  const isNegated = content.startsWith('!') || content.startsWith('^');
  const members = (isNegated ? content.slice(1) : content).replace(/[\\[\]^]/g, '\\$&');
  return isNegated ? `[^/${members}]` : `[${members}]`;
}

function escapeChar(char: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char;
}
