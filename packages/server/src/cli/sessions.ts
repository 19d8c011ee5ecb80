import { Command } from 'commander';
import { printRows } from './agents.ts';
import { connect } from './connection.ts';
import { endCommand } from './end-command.ts';
import { note, printLine, printTable } from './output.ts';
import { chooseSession, parseCount, SESSION_OPTIONS, type SessionOptions } from './session-choice.ts';

export function sessionsCommand(): Command {
  return new Command('sessions')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(showCommand())
    .addCommand(createCommand())
    .addCommand(endCommand('archive', 'close a session; its log and files stay', (id) => connect().sessions.archive(id)))
    .addCommand(endCommand('delete', 'delete a session with its log and files', (id) => connect().sessions.remove(id)));
}

function listCommand(): Command {
  return new Command('list')
    .description('the newest sessions')
    .option('-n, --limit <count>', 'how many, at most 100', parseCount, 20)
    .option('--json', 'print JSON')
    .action(async ({ limit, json }: { limit: number; json?: true }) => {
      const { data } = await connect().sessions.list({ limit });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'STATUS', 'AGENT', 'UPDATED', 'TITLE'],
        data.map((one) => [one.id, one.status, one.agent.name, one.updated_at, one.title ?? '']),
      );
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('all that is known of a session')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, { json }: { json?: true }) => {
      const session = await connect().sessions.get(id);
      if (json) return printLine(JSON.stringify(session, null, 2));
      const { usage } = session;
      printRows([
        ['id', session.id],
        ['title', session.title ?? ''],
        ['status', session.status],
        ['agent', `${session.agent.name} (${session.agent.id}, version ${session.agent.version})`],
        ['environment', session.environment_id],
        ['sandbox', session.sandbox == null ? 'none now' : `${session.sandbox.id}, ${session.sandbox.state}`],
        ['tokens', `${usage.input_tokens} in, ${usage.output_tokens} out`],
        ['events', String(session.last_seq)],
        ['created', session.created_at],
        ['updated', session.updated_at],
      ]);
      note(`Its log: cloister logs --session ${session.id}`);
    });
}

function createCommand(): Command {
  const create = new Command('create').description('create a session and print its id');
  for (const option of SESSION_OPTIONS.filter((one) => one.attributeName() !== 'session')) create.addOption(option);
  return create
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  cloister agent -s "$(cloister sessions create -a reviewer)" -m "hello"\n')
    .action(async ({ json, ...options }: Omit<SessionOptions, 'session'> & { json?: true }) => {
      const client = connect();
      const id = await chooseSession(client, options);
      printLine(json ? JSON.stringify(await client.sessions.get(id), null, 2) : id);
    });
}
