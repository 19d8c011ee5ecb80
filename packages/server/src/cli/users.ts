import type { AccessRole } from '@cloister/api';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { roleOption } from './keys.ts';
import { note, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function usersCommand(): Command {
  return new Command('users')
    .description('the people of the tenant')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(inviteCommand())
    .addCommand(invitationsCommand())
    .addCommand(updateCommand())
    .addCommand(removeCommand());
}

function listCommand(): Command {
  return new Command('list')
    .description('the people')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().users.list({ limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'EMAIL', 'NAME', 'ROLE', 'STATUS', 'LAST SIGN-IN'],
        data.map((one) => [one.id, one.email, one.name, one.role, one.status, one.last_sign_in_at ?? 'never']),
      );
    });
}

function inviteCommand(): Command {
  return new Command('invite')
    .description('invite a person and print the link for them, which is shown this once')
    .argument('<email>')
    .addOption(roleOption('member'))
    .option('--hours <number>', 'how long the link works', '72')
    .option('--json', 'print JSON')
    .action(async (email: string, { role, hours, json }: { role: AccessRole; hours: string; json?: true }) => {
      const invitation = await connect().invitations.create({ email, role, expires_in_hours: Number(hours) });
      if (json) return printLine(JSON.stringify(invitation, null, 2));
      note(`${invitation.email} is invited as ${invitation.role}, until ${invitation.expires_at}`);
      printLine(invitation.link ?? '');
    });
}

function invitationsCommand(): Command {
  return new Command('invitations')
    .description('the invitations that are open')
    .option('--revoke <id>', 'take one back')
    .action(async ({ revoke }: { revoke?: string }) => {
      const client = connect();
      if (revoke !== undefined) {
        await client.invitations.remove(revoke);
        return note(`took ${revoke} back`);
      }
      const { data } = await client.invitations.list({ limit: MOST });
      printTable(
        ['ID', 'EMAIL', 'ROLE', 'UNTIL'],
        data.map((one) => [one.id, one.email, one.role, one.expires_at]),
      );
    });
}

function updateCommand(): Command {
  return new Command('update')
    .description('change the role of a person, shut them out, or let them in again')
    .argument('<id>')
    .addOption(roleOption())
    .option('--disable', 'end their sign-ins and allow no new one')
    .option('--enable', 'let them in again')
    .action(async (id: string, { role, disable, enable }: { role?: AccessRole; disable?: true; enable?: true }) => {
      const changed = await connect().users.update(id, { role, status: disable ? 'disabled' : enable ? 'active' : undefined });
      note(`${changed.email}: ${changed.role}, ${changed.status}`);
    });
}

function removeCommand(): Command {
  return new Command('remove')
    .description('remove a person; keys they made stay')
    .argument('<id>')
    .action(async (id: string) => {
      await connect().users.remove(id);
      note(`removed ${id}`);
    });
}
