import { Argument, Command } from 'commander';
import { printLine } from './output.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** What may follow: `words` by the commands before, each with what it says of itself. */
interface Node {
  readonly path: string;
  readonly words: readonly (readonly [word: string, about: string])[];
}

export function completionsCommand(): Command {
  return new Command('completions')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText(
      'after',
      `
Examples:
  bash   cloister completions bash > ~/.local/share/bash-completion/completions/cloister
  zsh    cloister completions zsh > "\${fpath[1]}/_cloister"
  fish   cloister completions fish > ~/.config/fish/completions/cloister.fish
`,
    )
    .action(async (shell: Shell) => {
      const { createProgram } = await import('./program.ts');
      printLine(SCRIPTS[shell](nodesOf(await createProgram())));
    });
}

function nodesOf(command: Command, path: readonly string[] = []): readonly Node[] {
  const shown = command.commands.map((one) => [one.name(), one.description()] as const);
  const options = command.options.map((one) => [one.long ?? one.short ?? '', one.description] as const);
  const words = [...shown, ...options, ['--help', 'what is possible'] as const];
  return [{ path: path.join(' '), words }, ...command.commands.flatMap((one) => nodesOf(one, [...path, one.name()]))];
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const list = ({ words }: Node) => words.map(([word]) => word).join(' ');

/** Every command, as the alternatives of a `case`. */
const paths = (nodes: readonly Node[]) => nodes.flatMap(({ path }) => (path === '' ? [] : [quoted(path)])).join('|');

/** The commands are the words before the one being completed that are no options; arguments beyond them change nothing. */
function bash(nodes: readonly Node[]): string {
  return `# cloister completions bash
_cloister() {
  local current=\${COMP_WORDS[COMP_CWORD]} known='' next word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] && continue
    next=\${known:+$known }$word
    case "$next" in
      ${paths(nodes)}) known=$next ;;
      *) break ;;
    esac
  done
  local words=''
  case "$known" in
${nodes.map((node) => `    ${quoted(node.path)}) words=${quoted(list(node))} ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _cloister cloister`;
}

function zsh(nodes: readonly Node[]): string {
  const described = ({ words }: Node) => words.map(([word, about]) => quoted(`${word.replaceAll(':', '\\:')}:${about}`)).join(' ');
  return `#compdef cloister
_cloister() {
  local known='' next word
  local -a choices
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $word == -* ]] && continue
    next=\${known:+$known }$word
    case "$next" in
      ${paths(nodes)}) known=$next ;;
      *) break ;;
    esac
  done
  case "$known" in
${nodes.map((node) => `    ${quoted(node.path)}) choices=(${described(node)}) ;;`).join('\n')}
  esac
  _describe 'cloister' choices || _files
}
(( $+functions[compdef] )) && compdef _cloister cloister
[[ $funcstack[1] == _cloister ]] && _cloister "$@"`;
}

function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, words }) => {
    const parts = path === '' ? [] : path.split(' ');
    const below = nodes
      .filter((one) => one.path !== '' && one.path.split(' ').slice(0, -1).join(' ') === path)
      .map((one) => one.path.split(' ').at(-1));
    const seen = parts.map((part) => `__fish_seen_subcommand_from ${part}`);
    const unseen = below.length === 0 ? [] : [`not __fish_seen_subcommand_from ${below.join(' ')}`];
    const when = [...seen, ...unseen].join('; and ');
    const condition = when === '' ? '' : ` -n ${quoted(when)}`;
    return words.map(([word, about]) =>
      word.startsWith('--')
        ? `complete -c cloister${condition} -l ${word.slice(2)} -d ${quoted(about)}`
        : `complete -c cloister -f${condition} -a ${word} -d ${quoted(about)}`,
    );
  });
  return ['# cloister completions fish', ...lines].join('\n');
}

const SCRIPTS: Readonly<Record<Shell, (nodes: readonly Node[]) => string>> = { bash, zsh, fish };
