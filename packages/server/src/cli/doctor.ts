import { Command } from 'commander';
import type { AttackResult, Finding } from '../diagnose.ts';
import { EXIT } from './exit-codes.ts';
import { emphasize, note, printable, printLine } from './output.ts';

/** Loaded when it is needed, so that the other commands start without the engine and the databases. */
const doctor = () => import('../diagnose.ts');

export function doctorCommand(): Command {
  return new Command('doctor')
    .option('--attack', 'try instead to get out of a sandbox of this installation, and say how each attempt was refused')
    .option('--json', 'print JSON')
    .action(async (options: { attack?: true; json?: true }) => {
      if (options.attack) await attack(options.json === true);
      else await check(options.json === true);
    });
}

const CHECK_COLORS = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

async function check(isJson: boolean): Promise<void> {
  const findings = await (await doctor()).diagnose();
  if (findings.some(({ status }) => status === 'fail')) process.exitCode = EXIT.failed;
  if (isJson) printLine(JSON.stringify(findings, null, 2));
  else for (const finding of findings) printFinding(finding);
}

function printFinding({ name, status, detail, fix }: Finding): void {
  printLine(`${emphasize(CHECK_COLORS[status], status.padEnd(5))} ${name.padEnd(10)} ${printable(detail)}`);
  if (fix !== undefined) printLine(`${' '.repeat(16)} Fix: ${fix}`);
}

const ATTACK_COLORS = { refused: 'green', known: 'yellow', untried: 'yellow', open: 'red' } as const;

async function attack(isJson: boolean): Promise<void> {
  const { attackInstallation } = await doctor();
  const results = await attackInstallation((result) => {
    if (!isJson) printAttack(result);
  });
  const count = (state: AttackResult['state']) => results.filter((result) => result.state === state).length;
  if (count('open') + count('untried') > 0) process.exitCode = EXIT.failed;
  if (isJson) printLine(JSON.stringify(results, null, 2));
  else
    note(
      `${count('refused')} of ${results.length} refused; ${count('open')} open, ${count('known')} known, ${count('untried')} not tried.`,
    );
}

function printAttack({ id, what, state, how }: AttackResult): void {
  printLine(`${emphasize(ATTACK_COLORS[state], state.padEnd(8))} ${id.padEnd(20)} ${what}: ${printable(how).replaceAll(/\s+/g, ' ')}`);
}
