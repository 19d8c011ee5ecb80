import type { Webhook, WebhookCreate, WebhookDelivery } from '@cloister/api';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { endCommand } from './end-command.ts';
import { note, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function webhooksCommand(): Command {
  return new Command('webhooks')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(createCommand())
    .addCommand(endCommand('delete', 'delete a webhook with its deliveries', (id) => connect().webhooks.remove(id)))
    .addCommand(testCommand());
}

function listCommand(): Command {
  return new Command('list')
    .description('the webhooks')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().webhooks.list({ limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'STATE', 'EVENTS', 'URL'],
        data.map((one) => [one.id, stateOf(one), one.events === '*' ? 'all' : one.events.join(', '), one.url]),
      );
    });
}

function createCommand(): Command {
  return new Command('create')
    .description('create a webhook and print its secret, which is shown this once')
    .argument('<url>', 'where events are posted to')
    .option('-e, --events <types>', 'separated by commas; left out: all')
    .option('-d, --description <text>', 'what it is for')
    .option('--json', 'print JSON')
    .action(async (url: string, options: { events?: string; description?: string; json?: true }) => {
      const created = await connect().webhooks.create({ url, events: parseEvents(options.events), description: options.description });
      if (options.json) return printLine(JSON.stringify(created, null, 2));
      note(`webhook ${created.id}`);
      printLine(created.secret);
      note('Keep this secret: it is not shown again.');
    });
}

function testCommand(): Command {
  return new Command('test')
    .description('send a webhook.test event')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, { json }: { json?: true }) => {
      const delivery: WebhookDelivery = await connect().webhooks.test(id);
      if (json) return printLine(JSON.stringify(delivery, null, 2));
      printLine(`${delivery.id} is on its way; GET /v1/webhooks/${id}/deliveries says what became of it.`);
    });
}

function stateOf({ enabled, disabled_reason, failing_since }: Webhook): string {
  if (!enabled) return `disabled (${disabled_reason ?? 'request'})`;
  return failing_since === null ? 'enabled' : 'failing';
}

/** The server says which types there are, and refuses what is none. */
function parseEvents(text: string | undefined): WebhookCreate['events'] {
  if (text === undefined || text === '*') return '*';
  return text.split(',').map((type) => type.trim()) as Exclude<WebhookCreate['events'], '*'>;
}
