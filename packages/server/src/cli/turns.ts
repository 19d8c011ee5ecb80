import type { Turn } from '@cloister/api';
import { Command, Option } from 'commander';
import { connect } from './connection.ts';
import { note, printJson, printLine, printTable } from './output.ts';
import { parseCount } from './session-choice.ts';

const STATES = [
  'queued',
  'running',
  'waiting_approval',
  'completed',
  'failed',
  'cancelled',
  'interrupted',
] as const satisfies readonly Turn['state'][];

export function turnsCommand(): Command {
  return new Command('turns')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(showCommand())
    .addCommand(retryCommand())
    .addCommand(cancelCommand());
}

function listCommand(): Command {
  return new Command('list')
    .description('the newest turns')
    .option('-s, --session <id>', 'of this session only')
    .addOption(new Option('--state <state>', 'in this state only').choices(STATES))
    .option('-n, --limit <count>', 'how many, at most 100', parseCount, 20)
    .option('--json', 'print JSON')
    .action(async ({ session, state, limit, json }: { session?: string; state?: string; limit: number; json?: true }) => {
      const { data } = await connect().turns.list({ session_id: session, 'states[]': state === undefined ? [] : [state], limit });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'SESSION', 'STATE', 'CREATED', 'ERROR'],
        data.map((one) => [one.id, one.session_id, stateOf(one), one.created_at, one.error?.code ?? '']),
      );
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('all that is known of a turn')
    .argument('<session>')
    .argument('<turn>')
    .option('--json', 'print JSON')
    .action(async (session: string, id: string, { json }: { json?: true }) => {
      const turn = await connect().turns.get(session, id);
      if (json) return printLine(JSON.stringify(turn, null, 2));
      const rows: readonly (readonly [string, string | null])[] = [
        ['turn', turn.id],
        ['session', turn.session_id],
        ['message', turn.event_id],
        ['state', stateOf(turn)],
        ['stop', turn.stop_reason],
        ['attempts', String(turn.attempt)],
        ['created', turn.created_at],
        ['started', turn.started_at],
        ['ended', turn.ended_at],
        ['error', turn.error && `${turn.error.code}: ${turn.error.message}`],
        ['fix', turn.error?.fix ?? null],
      ];
      for (const [name, value] of rows) if (value !== null) printLine(`  ${name.padEnd(10)} ${value}`);
    });
}

function retryCommand(): Command {
  return new Command('retry')
    .description('send the message of a turn that failed, was interrupted or cancelled again')
    .argument('<session>')
    .argument('<turn>')
    .option('--json', 'print JSON')
    .action(async (session: string, id: string, { json }: { json?: true }) => {
      const sent = await connect().turns.retry(session, id);
      if (json) return printLine(JSON.stringify(sent, null, 2));
      for (const event of sent.data) {
        note(`sent again as ${event.id}`);
        if (event.turn_id !== null) printLine(event.turn_id);
      }
    });
}

function cancelCommand(): Command {
  return new Command('cancel')
    .description('cancel a turn: one that waits ends at once, one that runs is asked to stop')
    .argument('<session>')
    .argument('<turn>')
    .option('--json', 'print JSON')
    .action(async (session: string, id: string, { json }: { json?: true }) => {
      const turn = await connect().turns.cancel(session, id);
      if (json) return printJson(turn);
      note(turn.state === 'cancelled' ? `cancelled ${id}` : `asked ${id} to stop`);
    });
}

function stateOf({ state, retry_at }: Turn): string {
  return retry_at === null ? state : `${state}, tried again at ${retry_at}`;
}
