import { readFileSync } from 'node:fs';
import { type CredentialCreate, KEY_PROVIDERS, type VaultCredential } from '@cloister/api';
import { Command, Option } from 'commander';
import { connect } from './connection.ts';
import { endCommand } from './end-command.ts';
import { note, printJson, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function vaultsCommand(): Command {
  return new Command('vaults')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(createCommand())
    .addCommand(endCommand('delete', 'delete a vault with its credentials', (id) => connect().vaults.remove(id)))
    .addCommand(showCommand())
    .addCommand(addKeyCommand())
    .addCommand(addHttpCommand())
    .addCommand(removeCommand())
    .addCommand(testCommand())
    .addCommand(keysCommand())
    .addCommand(rotateKeyCommand())
    .addCommand(removeKeyCommand());
}

const JSON_OPTION = ['--json', 'print JSON'] as const;
interface WithJson {
  readonly json?: true;
}

function listCommand(): Command {
  return new Command('list')
    .description('the vaults')
    .option(...JSON_OPTION)
    .action(async ({ json }: WithJson) => {
      const { data } = await connect().vaults.list({ limit: MOST });
      if (json) return printJson(data);
      printTable(
        ['ID', 'NAME', 'FOR'],
        data.map((one) => [one.id, one.display_name, one.default ? 'every session' : one.agent_ids.join(', ') || 'sessions that name it']),
      );
    });
}

function createCommand(): Command {
  return new Command('create')
    .description('create a vault')
    .argument('<name>')
    .option('--default', 'every session of the tenant may use it')
    .option('--agent <id...>', 'every session of these agents may use it')
    .option(...JSON_OPTION)
    .action(async (name: string, options: { default?: true; agent?: string[] } & WithJson) => {
      const vault = await connect().vaults.create({ display_name: name, default: options.default, agent_ids: options.agent });
      if (options.json) return printJson(vault);
      printLine(vault.id);
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('the credentials of a vault, without their secrets')
    .argument('<vault>')
    .option(...JSON_OPTION)
    .action(async (vault: string, { json }: WithJson) => {
      const { data } = await connect().vaults.credentials.list(vault, { limit: MOST });
      if (json) return printJson(data);
      printTable(
        ['ID', 'KIND', 'FOR', 'NAME'],
        data.map((one) => [one.id, one.auth.type, purposeOf(one), one.display_name ?? '']),
      );
    });
}

function purposeOf({ auth }: VaultCredential): string {
  if (auth.type === 'provider_key') return auth.base_url === null ? auth.provider : `${auth.provider} at ${auth.base_url}`;
  return auth.type === 'http' ? `${auth.name}: ${auth.hosts.join(', ')}` : auth.mcp_server_url;
}

interface KeyOptions extends WithJson {
  readonly provider: (typeof KEY_PROVIDERS)[number];
  readonly baseUrl?: string;
  readonly name?: string;
}

function addKeyCommand(): Command {
  return new Command('add-key')
    .description('put a key of a model provider into a vault; the key is read from standard input')
    .argument('<vault>')
    .addOption(new Option('-p, --provider <provider>').choices(KEY_PROVIDERS).makeOptionMandatory())
    .option('-u, --base-url <url>', "left out: the provider's own")
    .option('-n, --name <text>')
    .option(...JSON_OPTION)
    .action(async (vault: string, options: KeyOptions) => {
      const { provider, baseUrl: base_url } = options;
      await add(vault, { auth: { type: 'provider_key', provider, api_key: readSecret(), base_url }, display_name: options.name }, options);
    });
}

interface HttpOptions extends WithJson {
  readonly name: string;
  readonly host: string[];
  readonly header?: string;
  readonly template?: string;
  readonly username?: string;
}

function addHttpCommand(): Command {
  return new Command('add-http')
    .description('put a secret for hosts into a vault, which the gateway adds to requests; it is read from standard input')
    .argument('<vault>')
    .requiredOption('-n, --name <name>', 'as rules of networks name it')
    .requiredOption('-H, --host <host...>', 'where it may go')
    .option('--header <name>', 'default authorization')
    .option('--template <text>', 'default "Bearer {secret}"')
    .option('--username <name>', 'makes it Basic')
    .option(...JSON_OPTION)
    .action(async (vault: string, options: HttpOptions) => {
      const { name, host: hosts, header, template, username } = options;
      await add(vault, { auth: { type: 'http', name, hosts, secret: readSecret(), header, template, username } }, options);
    });
}

async function add(vault: string, body: CredentialCreate, { json }: WithJson): Promise<void> {
  const credential = await connect().vaults.credentials.create(vault, body);
  if (json) printJson(credential);
  else printLine(credential.id);
}

/** Never as an argument: those are in the shell's history and in the list of processes. */
function readSecret(): string {
  if (process.stdin.isTTY) note('Type the secret, then Enter and Ctrl-D:');
  return readFileSync(0, 'utf8').trim();
}

function removeCommand(): Command {
  return new Command('remove')
    .description('delete a credential')
    .argument('<vault>')
    .argument('<credential>')
    .option(...JSON_OPTION)
    .action(async (vault: string, credential: string, { json }: WithJson) => {
      const removed = await connect().vaults.credentials.remove(vault, credential);
      if (json) return printJson(removed);
      note(`deleted ${credential}`);
    });
}

function testCommand(): Command {
  return new Command('test')
    .description('ask the provider whether it takes a key')
    .argument('<vault>')
    .argument('<credential>')
    .option(...JSON_OPTION)
    .action(async (vault: string, credential: string, { json }: WithJson) => {
      const test = await connect().vaults.credentials.test(vault, credential);
      if (json) printJson(test);
      else printLine(`${test.result}: ${test.message}`);
      if (test.result !== 'ok') process.exitCode = 1;
    });
}

function keysCommand(): Command {
  return new Command('keys')
    .description('the keys that secrets are sealed with (operator)')
    .option(...JSON_OPTION)
    .action(async ({ json }: WithJson) => {
      const { data } = await connect().encryptionKeys.list();
      if (json) return printJson(data);
      printTable(
        ['KEY', 'STATE', 'RECORDS', 'SINCE'],
        data.map(({ id, current, available, uses, created_at }) => {
          const state = current ? 'current' : 'former';
          return [id, available ? state : `${state}, MISSING HERE`, String(uses), created_at ?? ''];
        }),
      );
    });
}

function rotateKeyCommand(): Command {
  return new Command('rotate-key')
    .description('seal with a new key from now on, and what there is in the background (operator)')
    .option(...JSON_OPTION)
    .action(async ({ json }: WithJson) => {
      const started = await connect().encryptionKeys.rotate();
      if (json) return printJson(started);
      const { key_id: id, new: isNew } = started;
      printLine(isNew ? `${id} is the current key now.` : `${id} is the current key already; what is left of its rotation goes on.`);
      note('`cloister vaults keys` shows what is still sealed with former keys.');
    });
}

function removeKeyCommand(): Command {
  return new Command('remove-key')
    .description('remove a key that nothing is sealed with (operator)')
    .argument('<key>')
    .option(...JSON_OPTION)
    .action(async (key: string, { json }: WithJson) => {
      const removed = await connect().encryptionKeys.remove(key);
      if (json) return printJson(removed);
      note(`removed ${key}`);
    });
}
