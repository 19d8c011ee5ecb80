import { type Client, ensureAgent, ensureEnvironment } from '@cloister/api';
import { InvalidArgumentError, Option } from 'commander';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';

/** The most that one page of the API holds. */
export const MOST = 100;

/** How many are listed. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MOST) return count;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MOST}.`);
}

export interface SessionOptions {
  readonly session?: string;
  readonly agent?: string;
  readonly environment?: string;
  readonly title?: string;
}

export const SESSION_OPTIONS = [
  new Option('-s, --session <id>', 'go on with this session'),
  new Option('-a, --agent <id or name>', 'agent of the new session (default: the one named default, else the newest)').conflicts('session'),
  new Option(
    '-e, --environment <id or name>',
    'environment of the new session (default: the one named default, else the newest)',
  ).conflicts('session'),
  new Option('--title <text>', 'title of the new session').conflicts('session'),
];

/** The session to talk in: the given one, or a new one. */
export async function chooseSession(client: Client, options: SessionOptions): Promise<string> {
  if (options.session !== undefined) return (await client.sessions.get(options.session)).id;
  const [agent, environment] = await Promise.all([chooseAgent(client, options.agent), chooseEnvironment(client, options.environment)]);
  const session = await client.sessions.create({ agent, environment_id: environment, title: options.title ?? null });
  return session.id;
}

async function chooseAgent(client: Client, wanted: string | undefined): Promise<string> {
  if (wanted === undefined) return (await ensureAgent(client)).id;
  return pick('agent', (await client.agents.list({ limit: MOST })).data, wanted);
}

async function chooseEnvironment(client: Client, wanted: string | undefined): Promise<string> {
  if (wanted === undefined) return (await ensureEnvironment(client)).id;
  return pick('environment', (await client.environments.list({ limit: MOST })).data, wanted);
}

function pick(what: string, choices: readonly { readonly id: string; readonly name: string }[], wanted: string): string {
  const found = choices.find((one) => one.id === wanted) ?? choices.find((one) => one.name.toLowerCase() === wanted.toLowerCase());
  if (found !== undefined) return found.id;
  const names = choices.map((one) => `${one.name} (${one.id})`).join(', ');
  throw new CommandError(EXIT.notFound, {
    title: `There is no ${what} "${wanted}".`,
    detail: names === '' ? undefined : `There are: ${names}.`,
  });
}
