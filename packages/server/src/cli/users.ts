import type { AccessRole } from '@cloister/api';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { endCommand } from './end-command.ts';
import { roleOption } from './keys.ts';
import { note, printJson, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function usersCommand(): Command {
  return new Command('users')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(inviteCommand())
    .addCommand(invitationsCommand())
    .addCommand(updateCommand())
    .addCommand(endCommand('remove', 'remove a person; keys they made stay', (id) => connect().users.remove(id)));
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
    .option('--json', 'print JSON')
    .action(async ({ revoke, json }: { revoke?: string; json?: true }) => {
      const client = connect();
      if (revoke !== undefined) {
        const removed = await client.invitations.remove(revoke);
        if (json) return printJson(removed);
        return note(`took ${revoke} back`);
      }
      const { data } = await client.invitations.list({ limit: MOST });
      if (json) return printJson(data);
      printTable(
        ['ID', 'EMAIL', 'ROLE', 'UNTIL'],
        data.map((one) => [one.id, one.email, one.role, one.expires_at]),
      );
    });
}

interface UpdateOptions {
  readonly role?: AccessRole;
  readonly disable?: true;
  readonly enable?: true;
  readonly json?: true;
}

function updateCommand(): Command {
  return new Command('update')
    .description('change the role of a person, shut them out, or let them in again')
    .argument('<id>')
    .addOption(roleOption())
    .option('--disable', 'end their sign-ins and allow no new one')
    .option('--enable', 'let them in again')
    .option('--json', 'print JSON')
    .action(async (id: string, { role, disable, enable, json }: UpdateOptions) => {
      const changed = await connect().users.update(id, { role, status: disable ? 'disabled' : enable ? 'active' : undefined });
      if (json) return printJson(changed);
      note(`${changed.email}: ${changed.role}, ${changed.status}`);
    });
}
