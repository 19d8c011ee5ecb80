import { readFileSync } from 'node:fs';
import type { AuditHead, AuditVerdict } from '@cloister/api';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { emphasize, note, print, printable, printLine, printTable } from './output.ts';
import { parseCount } from './session-choice.ts';

/** Loaded when it is needed, so that the other commands start without the databases. */
const databases = () => import('../databases.ts');

export function auditCommand(): Command {
  return new Command('audit')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(headCommand())
    .addCommand(exportCommand())
    .addCommand(verifyCommand());
}

interface ListOptions {
  readonly actor?: string;
  readonly action?: string[];
  readonly subject?: string;
  readonly limit: number;
  readonly json?: true;
}

function listCommand(): Command {
  return new Command('list')
    .description('the newest entries')
    .option('--actor <actor>', 'such as user:<id>, key:<id> or system')
    .option('--action <actions...>', 'such as key.created')
    .option('--subject <id>', 'what it was done to')
    .option('-n, --limit <count>', 'how many, at most 100', parseCount, 20)
    .option('--json', 'print JSON')
    .action(async ({ actor, action, subject, limit, json }: ListOptions) => {
      const { data } = await connect().audit.list({ limit, actor, subject, 'actions[]': action });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['SEQ', 'TIME', 'ACTOR', 'ACTION', 'SUBJECT', 'DETAIL'],
        data.map((one) => [
          String(one.seq),
          one.at,
          one.actor,
          one.action,
          one.subject,
          one.detail === null ? '' : JSON.stringify(one.detail),
        ]),
      );
    });
}

function headCommand(): Command {
  return new Command('head')
    .description('print where the chain ends, to be kept elsewhere: it shows later that nothing was cut off')
    .option('--json', 'as it is without')
    .action(async () => printLine(JSON.stringify(await connect().audit.head())));
}

function exportCommand(): Command {
  return new Command('export')
    .description('print all entries as lines of JSON, the oldest first')
    .option('--json', 'as it is without')
    .action(async () => {
      const { body } = await connect().audit.export();
      const decoder = new TextDecoder();
      if (body !== null) for await (const chunk of body) print(decoder.decode(chunk, { stream: true }));
    });
}

interface VerifyOptions {
  readonly online?: true;
  readonly tenant?: string;
  readonly head?: string;
  readonly json?: true;
}

function verifyCommand(): Command {
  return new Command('verify')
    .description(
      'prove the chain; names each edit, deletion, reorder and truncation. Reads the database that DATABASE_URL or DATA_DIR names',
    )
    .option('--online', 'let the running server prove it instead')
    .option('--tenant <id>', 'of one tenant; left out, of all')
    .option('--head <file>', 'a head that `cloister audit head` printed, to show what was cut off since')
    .option('--json', 'print JSON')
    .action(async ({ online, tenant, head, json }: VerifyOptions) => {
      const exported = head === undefined ? undefined : readHead(head);
      const verdicts = online ? [await proveOnline(exported)] : await proveHere(tenant, exported);
      if (json) printLine(JSON.stringify(verdicts, null, 2));
      else for (const verdict of verdicts) printVerdict(verdict);
      const broken = verdicts.filter(({ intact }) => !intact);
      if (broken.length === 0) return note(verdicts.length === 0 ? 'There is no audit yet.' : 'The audit is intact.');
      throw new CommandError(EXIT.failed, { title: 'The audit was tampered with.', detail: broken.map((one) => one.tenant_id).join(', ') });
    });
}

function proveOnline(exported: AuditHead | undefined): Promise<AuditVerdict> {
  return connect().audit.verify(exported === undefined ? {} : { head_seq: exported.seq, head_mac: exported.mac });
}

async function proveHere(tenantId: string | undefined, exported: AuditHead | undefined): Promise<readonly AuditVerdict[]> {
  const { verifyAudit } = await databases();
  const head = exported === undefined ? undefined : { tenantId: exported.tenant_id, seq: exported.seq, mac: exported.mac };
  return verifyAudit({ tenantId, exported: head });
}

function readHead(file: string): AuditHead {
  const wrong = (cause?: unknown) =>
    new CommandError(EXIT.usage, { title: `${file} is no head of an audit.`, fix: 'Name a file that `cloister audit head` made.' }, cause);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw wrong(cause);
  }
  const isHead =
    typeof value === 'object' &&
    value !== null &&
    'seq' in value &&
    typeof value.seq === 'number' &&
    'mac' in value &&
    typeof value.mac === 'string' &&
    'tenant_id' in value &&
    typeof value.tenant_id === 'string';
  if (!isHead) throw wrong();
  // Each field that is used has just been looked at.
  return value as AuditHead;
}

function printVerdict({ tenant_id, intact, entries, last_seq, sealed_through, findings }: AuditVerdict): void {
  const sealed = sealed_through === 0 ? '' : `, sealed through ${sealed_through}`;
  const state = intact ? emphasize('green', 'intact') : emphasize('red', 'tampered with');
  printLine(`${printable(tenant_id)}: ${state}, ${entries} entries up to ${last_seq}${sealed}`);
  for (const { kind, message } of findings) printLine(`  ${kind}: ${printable(message)}`);
}
