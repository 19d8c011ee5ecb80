import { Command, Option } from 'commander';
import { connect } from './connection.ts';
import { note } from './output.ts';
import { chooseSession, SESSION_OPTIONS, type SessionOptions } from './session-choice.ts';
import { type Approve, runTurn } from './turn.ts';

export const APPROVE_OPTION = new Option('--approve <who>', 'when a tool needs permission: ask you, allow all, or allow none')
  .choices(['ask', 'all', 'none'])
  .default('ask');

interface AgentOptions extends SessionOptions {
  readonly message: string;
  readonly json?: true;
  readonly approve: Approve;
}

export function agentCommand(): Command {
  const command = new Command('agent')
    .requiredOption('-m, --message <text>', 'what to say')
    .option('--json', 'print the events as JSON lines')
    .addOption(APPROVE_OPTION);
  for (const option of SESSION_OPTIONS) command.addOption(option);
  return command.action(async (options: AgentOptions) => {
    const client = connect();
    const sessionId = await chooseSession(client, { title: titleFrom(options.message), ...options });
    if (options.session === undefined) note(`session ${sessionId}`);
    await runTurn({ client, sessionId, message: options.message, approve: options.approve, json: options.json === true });
  });
}

/** A session that was not given a title is found again by how it began. */
function titleFrom(message: string): string {
  const line = message.trim().split('\n', 1)[0] ?? '';
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}
