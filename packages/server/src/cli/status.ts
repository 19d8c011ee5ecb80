import { type Health, STAGES, type Status } from '@cloister/api';
import { Command } from 'commander';
import { connect, connectWithoutKey } from './connection.ts';
import { EXIT } from './exit-codes.ts';
import { emphasize, printLine } from './output.ts';

const COLORS = { healthy: 'green', degraded: 'yellow', unhealthy: 'red' } as const;

export function statusCommand(): Command {
  return new Command('status')
    .option('--json', 'print JSON')
    .option('--quiet', 'say it by the exit code alone; needs no key')
    .action(async ({ json, quiet }: { json?: true; quiet?: true }) => {
      const { url, client } = connectWithoutKey();
      const health = await client.health();
      if (health.status === 'unhealthy') process.exitCode = EXIT.unavailable;
      if (quiet) return;
      const status = await connect().status();
      if (json) printLine(JSON.stringify({ url, ...health, ...status }, null, 2));
      else printStatus(url, health, status);
    });
}

const ISOLATION = {
  container: 'container: the walls of a container engine',
  weaker: 'weaker: namespaces without the walls of a container engine, see docs/runtimes.md',
  none: 'none: what runs is not isolated',
} as const;

function describeCapabilities({ capabilities }: Status): readonly (readonly [string, string])[] {
  const { runtime_classes: classes, default_runtime_class: own, limits, egress, workspace_quota: quota } = capabilities;
  return [
    ['limits', limits ? 'memory, CPU and processes are enforced' : 'NOT enforced: a sandbox can use up what the host has'],
    ['network', egress === 'gateway' ? 'none but through the gateway' : 'OPEN: nothing stands between agents and the network'],
    ['quota', QUOTA[quota]],
    ...(classes.length === 0 ? [] : [['classes', `${classes.join(', ')}; ${own ?? "the engine's own"} by default`] as const]),
  ];
}

const QUOTA = {
  enforced: 'workspaces that have one are held to it by a disk of their own',
  watched: 'workspaces that have one are measured, and stopped when they are over it',
  none: 'workspaces have no limit of their own',
} as const;

function describeStages({ stages }: Status): readonly (readonly [string, string])[] {
  const told = STAGES.flatMap((stage) => (stages[stage] === undefined ? [] : [`${stage} ${Math.round(stages[stage].p50_ms)}`]));
  return told.length === 0 ? [] : [['stages', `${told.join(', ')} ms (medians of late)`]];
}

function describePool({ warm_pool: pool }: Status): string {
  if (pool.reason !== null) return `nothing stands ready: ${pool.reason}`;
  const sum = (name: 'wanted' | 'ready' | 'warming' | 'claimed') => pool.environments.reduce((all, one) => all + one[name], 0);
  const told = `${sum('ready')} ready, ${sum('warming')} starting, ${sum('wanted')} wanted (at most ${pool.max}), ${sum('claimed')} given to sessions`;
  const [first, ...others] = pool.environments;
  return first === undefined || others.length === 0 ? told : `${told}; ${pool.environments.length} kinds, see --json`;
}

function printStatus(url: string, health: Health, status: Status): void {
  printLine(`${emphasize('bold', 'Cloister')} ${health.version} at ${url} is ${emphasize(COLORS[health.status], health.status)}.`);
  printLine();
  const { queued, running, waiting_approval: waiting, failed_24h: failed } = status.turns;
  const rows = [
    ['runtime', status.runtime],
    ['why', status.runtime_reason],
    ['isolation', ISOLATION[status.isolation]],
    ...describeCapabilities(status),
    ...describeStages(status),
    ['warm pool', describePool(status)],
    ['harness', status.harness],
    ['model', status.is_demo ? `${status.model}: no provider key is set, see docs/configuration.md` : status.model],
    ['turns', `${running} running, ${queued} queued, ${waiting} waiting for permission`],
    ['failed', `${failed} in the last 24 hours${failed === 0 ? '' : ': cloister turns list --state failed'}`],
  ] as const;
  for (const [name, value] of rows) printLine(`  ${name.padEnd(10)} ${value}`);
  printLine();
  for (const [name, check] of Object.entries(health.checks)) {
    printLine(`  ${name.padEnd(10)} ${emphasize(COLORS[check.status], check.status)}: ${check.detail}`);
    if (check.fix !== undefined) printLine(`  ${' '.repeat(10)} Fix: ${check.fix}`);
  }
}
