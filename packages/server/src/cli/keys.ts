import type { AccessRole, ApiKey, ApiKeyCreate } from '@cloister/api';
import { Command, Option } from 'commander';
import { systemClock, toTimestamp } from '../base/clock.ts';
import { connect } from './connection.ts';
import { endCommand } from './end-command.ts';
import { note, printJson, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

const DAY_MS = 86_400_000;
const ROLES: readonly AccessRole[] = ['owner', 'admin', 'member', 'viewer'];

export function roleOption(fallback?: AccessRole): Option {
  const option = new Option('-r, --role <role>', 'what they may do').choices(ROLES);
  return fallback === undefined ? option : option.default(fallback);
}

export function keysCommand(): Command {
  return new Command('keys')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(createCommand())
    .addCommand(updateCommand())
    .addCommand(endCommand('revoke', 'revoke a key: no server takes it any more', (id) => connect().keys.revoke(id)));
}

function listCommand(): Command {
  return new Command('list')
    .description('the API keys')
    .option('-a, --all', 'also those that are revoked')
    .option('--json', 'print JSON')
    .action(async ({ all, json }: { all?: true; json?: true }) => {
      const { data } = await connect().keys.list({ limit: MOST, ...(all ? { include_revoked: true } : {}) });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'NAME', 'ROLE', 'REACHES', 'STATUS', 'LAST USED', 'KEY'],
        data.map((one) => [one.id, one.name, one.role, reachOf(one), one.status, one.last_used_at ?? 'never', one.hint]),
      );
    });
}

interface CreateOptions {
  readonly role: AccessRole;
  readonly agent?: string;
  readonly routes?: string;
  readonly days?: string;
  readonly json?: true;
}

function createCommand(): Command {
  return new Command('create')
    .description('create a key and print it, which is shown this once')
    .argument('<name>', 'what it is for')
    .addOption(roleOption('member'))
    .addOption(new Option('--agent <id>', 'for one agent and its sessions only').conflicts('routes'))
    .option('--routes <groups>', 'for these groups of routes only, separated by commas, such as sessions,files')
    .option('--days <number>', 'after how many days it is over; left out: never')
    .option('--json', 'print JSON')
    .action(async (name: string, options: CreateOptions) => {
      const created = await connect().keys.create({
        name,
        role: options.role,
        scope: scopeOf(options),
        expires_at: expiryOf(options.days),
      });
      if (options.json) return printLine(JSON.stringify(created, null, 2));
      note(`key ${created.id}: ${created.role}, ${reachOf(created)}`);
      printLine(created.key ?? '');
      note('Keep this key: it is not shown again.');
    });
}

function updateCommand(): Command {
  return new Command('update')
    .description('change the name or the role of a key')
    .argument('<id>')
    .option('-n, --name <name>', 'what it is for')
    .addOption(roleOption())
    .option('--json', 'print JSON')
    .action(async (id: string, { name, role, json }: { name?: string; role?: AccessRole; json?: true }) => {
      const changed = await connect().keys.update(id, { name, role });
      if (json) return printJson(changed);
      note(`${changed.id}: ${changed.name}, ${changed.role}`);
    });
}

function reachOf({ scope }: Pick<ApiKey, 'scope'>): string {
  if (scope.type === 'agent') return scope.agent_id;
  return scope.type === 'routes' ? scope.groups.join(', ') : 'everything';
}

function scopeOf({ agent, routes }: CreateOptions): ApiKeyCreate['scope'] {
  if (agent !== undefined) return { type: 'agent', agent_id: agent };
  return routes === undefined ? { type: 'tenant' } : { type: 'routes', groups: routes.split(',').map((group) => group.trim()) };
}

/** The server counts from its own clock; days are no matter of seconds. */
function expiryOf(days: string | undefined): string | undefined {
  return days === undefined ? undefined : toTimestamp(systemClock.now() + Number(days) * DAY_MS);
}
