import type { Approval, ApprovalAnswer } from '@cloister/api';
import { Command, Option } from 'commander';
import { connect } from './connection.ts';
import { note, printable, printLine, printTable } from './output.ts';
import { parseCount } from './session-choice.ts';

export function approvalsCommand(): Command {
  return new Command('approvals').addCommand(listCommand(), { isDefault: true }).addCommand(showCommand()).addCommand(answerCommand());
}

interface ListOptions {
  readonly all?: true;
  readonly session?: string;
  readonly agent?: string;
  readonly limit: number;
  readonly json?: true;
}

function listCommand(): Command {
  return new Command('list')
    .description('what waits for an answer')
    .option('-a, --all', 'also what is decided')
    .option('-s, --session <id>', 'of one session')
    .option('--agent <id>', 'of one agent')
    .option('-n, --limit <count>', 'how many, at most 100', parseCount, 20)
    .option('--json', 'print JSON')
    .action(async ({ all, session, agent, limit, json }: ListOptions) => {
      const states = all ? {} : { 'states[]': ['pending'] };
      const { data } = await connect().approvals.list({ limit, session_id: session, agent_id: agent, ...states });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'STATE', 'ASKS FOR', 'SESSION', 'EXPIRES'],
        data.map((one) => [one.id, one.state, subjectOf(one), one.session_id, one.expires_at ?? 'never']),
      );
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('one approval with all that is asked for')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, { json }: { json?: true }) => {
      const approval = await connect().approvals.get(id);
      if (json) return printLine(JSON.stringify(approval, null, 2));
      printApproval(approval);
    });
}

interface AnswerOptions {
  readonly session?: true;
  readonly message?: string;
  readonly raise?: string;
  readonly json?: true;
}

function answerCommand(): Command {
  return new Command('answer')
    .description('allow or deny; the first answer counts')
    .argument('<id>')
    .addArgument(new Command().createArgument('<decision>', 'allow or deny').choices(['allow', 'deny']))
    .option('--session', 'with allow: also later calls that the same rule asks about')
    .option('-m, --message <text>', 'with deny: what the agent is told')
    .addOption(new Option('--raise <amount>', 'with allow, of a budget: by how much'))
    .option('--json', 'print JSON')
    .action(async (id: string, decision: ApprovalAnswer['decision'], { session, message, raise, json }: AnswerOptions) => {
      const answered = await connect().approvals.answer(id, {
        decision,
        ...(session ? { scope: 'session' } : {}),
        ...(message === undefined ? {} : { message }),
        ...(raise === undefined ? {} : { raise: Number(raise) }),
      });
      if (json) return printLine(JSON.stringify(answered, null, 2));
      note(`${answered.state}: ${subjectOf(answered)}`);
    });
}

/** What is asked for, on one line. */
function subjectOf({ tool, budget }: Approval): string {
  if (tool === null) return `budget ${printable(JSON.stringify(budget ?? {}))}`;
  return `${tool.name} ${printable(JSON.stringify(tool.input))}`;
}

function printApproval({ tool, budget, answer, ...approval }: Approval): void {
  const rows = [
    ['approval', approval.id],
    ['state', approval.state],
    ['session', approval.session_id],
    ['agent', approval.agent_id],
    ['asked', approval.created_at],
    ['expires', approval.expires_at ?? 'never'],
    ...(tool === null ? [] : [['tool', tool.name] as const, ['rule', tool.rule ?? ''] as const]),
    ...(answer === null
      ? []
      : [['answered', `by ${answer.by} at ${answer.at} (${answer.scope})`] as const, ['message', answer.message ?? ''] as const]),
  ] as const;
  for (const [name, value] of rows) if (value !== '') printLine(`  ${name.padEnd(9)} ${printable(value)}`);
  printLine();
  printLine(printable(JSON.stringify(tool?.input ?? budget, null, 2)));
}
