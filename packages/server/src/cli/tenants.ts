import type { Tenant } from '@cloister/api';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { note, printJson, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function tenantsCommand(): Command {
  return new Command('tenants')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(createCommand())
    .addCommand(changeCommand('suspend', 'shut everybody of a tenant out', (id) => connect().tenants.suspend(id)))
    .addCommand(changeCommand('resume', 'let everybody of a tenant in again', (id) => connect().tenants.resume(id)))
    .addCommand(changeCommand('delete', 'delete a tenant with everything it has', (id) => connect().tenants.remove(id)));
}

function listCommand(): Command {
  return new Command('list')
    .description('the tenants')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().tenants.list({ limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'NAME', 'STATUS', 'SINCE'],
        data.map((one) => [one.id, one.name, one.status, one.created_at]),
      );
    });
}

function createCommand(): Command {
  return new Command('create')
    .description('create a tenant and print a key of its owner, which is shown this once')
    .argument('<name>')
    .option('--id <id>', 'left out: one is made')
    .option('--owner <email>', 'invite this person as its owner')
    .option('--json', 'print JSON')
    .action(async (name: string, { id, owner, json }: { id?: string; owner?: string; json?: true }) => {
      const created = await connect().tenants.create({ name, id, owner_email: owner });
      if (json) return printLine(JSON.stringify(created, null, 2));
      note(`tenant ${created.id}`);
      printLine(created.key ?? '');
      note('Keep this key: it is not shown again.');
      if (created.link !== null) note(`The invitation of its owner: ${created.link}`);
    });
}

function changeCommand(name: string, what: string, change: (id: string) => Promise<Tenant>): Command {
  return new Command(name)
    .description(what)
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, { json }: { json?: true }) => {
      const tenant = await change(id);
      if (json) return printJson(tenant);
      note(`${tenant.id}: ${tenant.status}`);
    });
}
