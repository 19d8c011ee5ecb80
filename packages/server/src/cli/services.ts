import type { Service, ServiceCreate } from '@cloister/api';
import { Command, InvalidArgumentError } from 'commander';
import { connect } from './connection.ts';
import { note, printJson, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function servicesCommand(): Command {
  const command = new Command('services')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(deployCommand())
    .addCommand(showCommand());
  for (const action of ['start', 'stop', 'restart'] as const) command.addCommand(actionCommand(action));
  return command.addCommand(deleteCommand()).addCommand(eventsCommand()).addCommand(logsCommand());
}

function listCommand(): Command {
  return new Command('list')
    .description('the services')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().services.list({ limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'NAME', 'STATE', 'HEALTH', 'URL'],
        data.map((one) => [one.id, one.name, one.state, one.health, one.url ?? '']),
      );
    });
}

interface DeployOptions {
  readonly image: string;
  readonly port?: number;
  readonly env: readonly string[];
  readonly memory?: string;
  readonly cpus?: number;
  readonly healthPath?: string;
  readonly processOnly?: true;
  readonly json?: true;
}

function deployCommand(): Command {
  return new Command('deploy')
    .description('deploy an image as a service; what follows -- is run instead of its own command')
    .argument('<name>')
    .argument('[command...]')
    .requiredOption('-i, --image <image>', 'an image that the container engine has')
    .option('-p, --port <port>', 'that the program listens on (default 8080)', toNumber)
    .option('-e, --env <name=value>', 'may be given several times', (one, all: readonly string[]) => [...all, one], [])
    .option('-m, --memory <size>', 'such as 512m')
    .option('--cpus <number>', 'such as 0.5', toNumber)
    .option('--health-path <path>', 'answered with 200 to 399 when all is well (default /health)')
    .option('--process-only', 'it is well while it runs')
    .option('--json', 'print JSON')
    .action(async (name: string, command: string[], options: DeployOptions) => {
      const made = await connect().services.create(toCreate(name, command, options));
      if (options.json) return printLine(JSON.stringify(made, null, 2));
      note(`service ${made.id} is being started`);
      printLine(made.url ?? made.id);
    });
}

function toCreate(name: string, command: readonly string[], options: DeployOptions): ServiceCreate {
  const env = Object.fromEntries(options.env.map(parsePair));
  const health = options.processOnly ? { type: 'process' as const } : { type: 'http' as const, path: options.healthPath };
  return {
    name,
    image: options.image,
    command: command.length === 0 ? null : [...command],
    env,
    health,
    port: options.port,
    memory: options.memory,
    cpus: options.cpus,
  };
}

function parsePair(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError(`"${text}" is not NAME=VALUE.`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function toNumber(text: string): number {
  const number = Number(text);
  if (Number.isNaN(number)) throw new InvalidArgumentError(`"${text}" is not a number.`);
  return number;
}

function showCommand(): Command {
  return new Command('show')
    .description('one service, as JSON')
    .argument('<id>')
    .option('--json', 'as it is without')
    .action(async (id: string) => printLine(JSON.stringify(await connect().services.get(id), null, 2)));
}

const ACTIONS = { start: 'start one that was stopped or has failed', stop: 'stop it', restart: 'replace its container by a new one' };

function actionCommand(action: keyof typeof ACTIONS): Command {
  return new Command(action)
    .description(ACTIONS[action])
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, options: { json?: true }) => tell(await connect().services[action](id), options));
}

function deleteCommand(): Command {
  return new Command('delete')
    .description('stop it and delete it with its data')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, options: { json?: true }) => tell(await connect().services.remove(id), options));
}

function eventsCommand(): Command {
  return new Command('events')
    .description('what has happened to it, the newest first')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, { json }: { json?: true }) => {
      const { data } = await connect().services.events(id, { limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['AT', 'EVENT', 'DETAIL'],
        data.map((one) => [one.created_at, one.event, one.detail ?? '']),
      );
    });
}

function logsCommand(): Command {
  return new Command('logs')
    .description('its output')
    .argument('<id>')
    .option('-n, --tail <lines>', 'how many of the last lines', toNumber, 100)
    .option('-f, --follow', 'go on with new lines')
    .option('--json', 'print each line as JSON')
    .action(async (id: string, { tail, follow, json }: { tail: number; follow?: true; json?: true }) => {
      const lines = connect().services.logs(id, { tail, follow: follow ?? false });
      for await (const line of lines) printLine(json ? JSON.stringify(line) : line.text);
    });
}

function tell(service: Service, { json }: { json?: true }): void {
  const { id, state, desired_state: desired } = service;
  if (json) printJson(service);
  else note(`${id} is ${state}, and is to be ${desired}`);
}
