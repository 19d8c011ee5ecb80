import { Command } from 'commander';
import { VERSION } from '../base/version.ts';
import { acpCommand } from './acp.ts';
import { agentCommand } from './agent.ts';
import { agentsCommand } from './agents.ts';
import { approvalsCommand } from './approvals.ts';
import { auditCommand } from './audit.ts';
import { brokerCommand } from './broker.ts';
import { chatCommand } from './chat.ts';
import { dbCommand } from './db.ts';
import { doctorCommand } from './doctor.ts';
import { reportError } from './errors.ts';
import { EXIT, EXIT_HELP } from './exit-codes.ts';
import { filesCommand } from './files.ts';
import { keysCommand } from './keys.ts';
import { logsCommand } from './logs.ts';
import { memoryCommand } from './memory.ts';
import { serveCommand } from './serve.ts';
import { servicesCommand } from './services.ts';
import { sessionsCommand } from './sessions.ts';
import { skillsCommand } from './skills.ts';
import { statusCommand } from './status.ts';
import { tenantsCommand } from './tenants.ts';
import { turnsCommand } from './turns.ts';
import { uploadsCommand } from './uploads.ts';
import { budgetsCommand, usageCommand } from './usage.ts';
import { usersCommand } from './users.ts';
import { vaultsCommand } from './vaults.ts';
import { webhooksCommand } from './webhooks.ts';

const SETTINGS_HELP = `
Where the server is and with which key:
  CLOISTER_URL (or HOST and PORT)       default http://127.0.0.1:3000
  CLOISTER_API_KEY, CLOISTER_ADMIN_KEY  default the key in DATA_DIR/admin.key
`;

function createProgram(): Command {
  const program = new Command('cloister')
    .description('Self-hosted managed agents: each in its own container, no message lost.')
    .version(VERSION)
    .showHelpAfterError('(add --help for what is possible)')
    .addHelpText('after', SETTINGS_HELP + EXIT_HELP);
  for (const command of [
    serveCommand(),
    statusCommand(),
    agentCommand(),
    chatCommand(),
    sessionsCommand(),
    turnsCommand(),
    filesCommand(),
    agentsCommand(),
    uploadsCommand(),
    skillsCommand(),
    memoryCommand(),
    approvalsCommand(),
    auditCommand(),
    servicesCommand(),
    acpCommand(),
    webhooksCommand(),
    logsCommand(),
    keysCommand(),
    usersCommand(),
    tenantsCommand(),
    usageCommand(),
    budgetsCommand(),
    vaultsCommand(),
    dbCommand(),
    doctorCommand(),
    brokerCommand(),
  ])
    program.addCommand(command);
  for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) command.exitOverride();
  return program;
}

/** A reader that has enough, such as `head`, is no error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exitCode = error.code === 'EPIPE' ? EXIT.ok : EXIT.failed;
});

try {
  await createProgram().parseAsync();
} catch (error) {
  process.exitCode = reportError(error);
}
