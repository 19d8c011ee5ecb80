import { Command } from 'commander';
import { VERSION } from '../base/version.ts';
import { COMMANDS } from './commands.ts';
import { EXIT_HELP } from './exit-codes.ts';

const SETTINGS_HELP = `
Where the server is and with which key:
  CLOISTER_URL (or HOST and PORT)       default http://127.0.0.1:3000
  CLOISTER_API_KEY, CLOISTER_ADMIN_KEY  default the key in DATA_DIR/admin.key

Examples:
  cloister init                         settings, asked for one after the other
  cloister serve                        the server, in the foreground
  cloister agent -m "run uname -a"      one message, one answer
  cloister doctor                       what is wrong with this installation
`;

/**
 * The program. A command that is not `wanted` has its name and what it does, and no more: enough for the help, and for
 * what is said of a name that does not exist.
 */
export async function createProgram(isWanted: (name: string) => boolean = () => true): Promise<Command> {
  const program = new Command('cloister')
    .description('Self-hosted managed agents: each in its own container, no message lost.')
    .version(VERSION)
    // The arguments and options of a command are in its own help.
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError('(add --help for what is possible)')
    .addHelpText('after', SETTINGS_HELP + EXIT_HELP);
  for (const [name, { about, load }] of COMMANDS)
    program.addCommand((isWanted(name) ? await load() : new Command(name)).description(about));
  overrideExits(program);
  return program;
}

function overrideExits(command: Command): void {
  command.exitOverride();
  for (const one of command.commands) overrideExits(one);
}
