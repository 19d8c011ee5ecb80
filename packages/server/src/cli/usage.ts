import type { Budget, UsageSummary } from '@cloister/api';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { endCommand } from './end-command.ts';
import { note, print, printJson, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

interface UsageOptions {
  readonly by: string;
  readonly from?: string;
  readonly to?: string;
  readonly tenant?: string;
  readonly agent?: string;
  readonly session?: string;
  readonly json?: true;
  readonly csv?: true;
  readonly storage?: true;
}

/** A page of the report; more rows are for the CSV. */
const ROWS = 1000;

export function usageCommand(): Command {
  return new Command('usage')
    .option('--by <columns>', 'what rows are apart by: day, agent, model, tenant, session, with commas between', 'day')
    .option('--from <day>', 'the first UTC day, such as 2026-01-31')
    .option('--to <day>', 'the last UTC day')
    .option('--tenant <id>', 'for who runs the installation: of this tenant only')
    .option('--agent <id>', 'of this agent only')
    .option('--session <id>', 'of this session only')
    .option('--json', 'print JSON')
    .option('--csv', 'print all rows as CSV')
    .option('--storage', 'what the tenant has stored instead, by kind, and what its plan allows')
    .action((options: UsageOptions) => (options.storage ? showStorage(options) : show(options)));
}

async function show({ by, from, to, tenant, agent, session, json, csv }: UsageOptions): Promise<void> {
  const client = connect();
  const filter = { group_by: by, from, to, tenant_id: tenant, agent_id: agent, session_id: session };
  if (csv) return print(await (await client.usage.csv(filter)).text());
  const report = await client.usage.report({ ...filter, limit: ROWS });
  if (json) return printLine(JSON.stringify(report, null, 2));
  const columns = columnsOf(by);
  printTable(
    [...columns.map((name) => name.replace(/_id$/, '').toUpperCase()), 'CALLS', 'INPUT', 'CACHED', 'OUTPUT', `COST (${report.currency})`],
    report.data.map((row) => [...columns.map((name) => String(row[name] ?? '')), ...numbersOf(row)]),
  );
  const { calls, cost, estimated_calls: estimated } = report.total;
  note(`${calls} calls, ${cost} ${report.currency}${estimated === 0 ? '' : `; ${estimated} of them estimated`}`);
  if (report.next_page !== null) note(`Only the first ${ROWS} rows are shown: --csv prints all.`);
}

async function showStorage({ json }: UsageOptions): Promise<void> {
  const { stored, used, plan } = await connect().plans.own();
  const bytes = used.storage_bytes;
  const limit = plan?.limits.storage_bytes ?? null;
  if (json) return printLine(JSON.stringify({ ...stored, total: bytes, limit }, null, 2));
  printTable(
    ['KIND', 'BYTES'],
    [...Object.entries(stored), ['total', bytes] as const].map(([kind, size]) => [kind, String(size)]),
  );
  note(limit === null ? 'No plan limits it, so workspaces and snapshots are not measured.' : `The plan allows ${limit} bytes.`);
}

type Column = 'day' | 'tenant_id' | 'agent_id' | 'session_id' | 'provider' | 'model';
const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  day: ['day'],
  tenant: ['tenant_id'],
  agent: ['agent_id'],
  session: ['session_id'],
  model: ['provider', 'model'],
};

/** The server refuses what is none. */
function columnsOf(by: string): readonly Column[] {
  return by.split(',').flatMap((name) => COLUMNS[name.trim()] ?? []);
}

function numbersOf(row: UsageSummary): string[] {
  const cached = row.cache_read_input_tokens + row.cache_creation_input_tokens;
  return [String(row.calls), String(row.input_tokens), String(cached), String(row.output_tokens), row.cost];
}

export function budgetsCommand(): Command {
  return new Command('budgets')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(createCommand())
    .addCommand(raiseCommand())
    .addCommand(endCommand('delete', 'delete a budget', (id) => connect().budgets.remove(id)));
}

function listCommand(): Command {
  return new Command('list')
    .description('the budgets with what is spent and left')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().budgets.list({ limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'SCOPE', 'OF', 'PERIOD', 'LIMIT', 'SPENT', 'RESERVED', 'LEFT'],
        data.map((one) => [
          one.id,
          one.scope,
          one.subject_id,
          one.period,
          limitOf(one),
          ...[one.spent, one.reserved, one.remaining].map(String),
        ]),
      );
    });
}

function limitOf({ limit, raised, currency }: Budget): string {
  return `${limit}${raised === 0 ? '' : ` + ${raised}`} ${currency}`;
}

function createCommand(): Command {
  return new Command('create')
    .description('limit what the tenant, an agent or a session may spend')
    .argument('<limit>', "in the installation's currency", Number)
    .option('--agent <id>', 'for this agent')
    .option('--session <id>', 'for this session')
    .option('--period <period>', 'total, day or month', 'total')
    .option('--json', 'print JSON')
    .action(async (limit: number, options: { agent?: string; session?: string; period: string; json?: true }) => {
      const { agent, session, period } = options;
      const scope = session === undefined ? (agent === undefined ? 'tenant' : 'agent') : 'session';
      const subject = session ?? agent;
      // The server says which periods there are, and refuses what is none.
      const body = { scope, period: period as Budget['period'], limit, ...(subject === undefined ? {} : { subject_id: subject }) } as const;
      const created = await connect().budgets.create(body);
      printLine(options.json ? JSON.stringify(created, null, 2) : created.id);
    });
}

function raiseCommand(): Command {
  return new Command('raise')
    .description('add to the limit of a budget; turns that wait for it go on')
    .argument('<id>')
    .argument('<amount>', "in the installation's currency", Number)
    .option('--json', 'print JSON')
    .action(async (id: string, amount: number, { json }: { json?: true }) => {
      const raised = await connect().budgets.raise(id, amount);
      if (json) return printJson(raised);
      note(`${limitOf(raised)}; ${raised.remaining} left`);
    });
}
