import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { inspectConfig } from '../config.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { type Answers, envFileOf, HARNESSES, INIT_PROVIDERS, type InitProvider, settingsFrom, yamlFileOf } from './init-answers.ts';
import { askAnswers, askToReplace, isPort, type TryKey } from './init-questions.ts';
import { note, printable, printLine } from './output.ts';

interface InitOptions {
  readonly provider?: InitProvider;
  readonly keyFile?: string;
  readonly baseUrl?: string;
  readonly model?: string;
  readonly harness: string;
  readonly dataDir?: string;
  readonly port?: number;
  readonly dotenv?: string;
  readonly test: boolean;
  readonly force?: true;
  readonly yes?: true;
  readonly json?: true;
}

export function initCommand(): Command {
  return new Command('init')
    .addOption(new Option('--provider <name>', 'whose models the agents use (default: anthropic, with --yes demo)').choices(INIT_PROVIDERS))
    .option('--key-file <file>', "where the provider's key is read from; - reads standard input")
    .option('--base-url <url>', 'with openai-compatible: where it is')
    .option('--model <model>', 'the model of the default agent')
    .addOption(new Option('--harness <name>', 'which program runs the agents').choices(HARNESSES).default('builtin'))
    .option('--data-dir <directory>', 'where database, workspaces and keys are kept')
    .option('--port <port>', 'where the server listens', parsePort)
    .option('--dotenv <file>', 'write a .env file instead, as Compose and systemd read it')
    .option('--no-test', 'do not ask the provider whether it takes the key')
    .option('--force', 'replace a file that is there')
    .option('-y, --yes', 'ask nothing: take the flags, and what is usual for the rest')
    .option('--json', 'print JSON, and ask nothing')
    .addHelpText(
      'after',
      `
Examples:
  cloister init
  cloister init --yes --provider anthropic --key-file /run/secrets/anthropic
  cloister init --yes --provider openai-compatible --base-url http://127.0.0.1:11434/v1 --model qwen3 --dotenv .env
`,
    )
    .action(init);
}

async function init(options: InitOptions): Promise<void> {
  const isAsking = !options.yes && !options.json && process.stdin.isTTY && process.stdout.isTTY;
  const tryKey = options.test ? tryAtProvider : undefined;
  const given = answersFrom(options, isAsking ? 'anthropic' : 'demo');
  const answers = isAsking ? await askAnswers(given, tryKey) : given;
  if (answers.provider === 'openai-compatible' && answers.baseUrl === undefined)
    throw new CommandError(EXIT.usage, { title: 'openai-compatible needs --base-url.' });
  const verdict = isAsking || tryKey === undefined ? undefined : await checked(answers, tryKey);
  const file = path.resolve(options.dotenv ?? path.join(answers.dataDir, 'config.yaml'));
  if (existsSync(file) && !options.force && !(isAsking && (await askToReplace(file))))
    throw new CommandError(EXIT.rejected, { title: `${file} is there already.`, fix: 'Add --force to replace it.' });
  write(file, answers, options.dotenv !== undefined);
  if (options.json) return printLine(JSON.stringify({ file, provider: answers.provider, tested: verdict ?? null }, null, 2));
  if (verdict !== undefined) note(printable(verdict.message));
  printLine(`Written: ${file}`);
  for (const line of nextSteps(answers, options.dotenv)) printLine(line);
}

function answersFrom(options: InitOptions, usualProvider: InitProvider): Answers {
  const { provider = usualProvider, keyFile, baseUrl, model, harness } = options;
  const known = (name: string) => inspectConfig().settings.find((one) => one.name === name)?.value ?? undefined;
  const key = keyFile === undefined ? undefined : readKey(keyFile);
  if (keyFile === undefined && usualProvider === 'demo' && provider !== 'demo' && provider !== 'openai-compatible')
    throw new CommandError(EXIT.usage, {
      title: `${provider} needs a key.`,
      fix: 'Name its file with --key-file; - reads standard input.',
    });
  const dataDir = options.dataDir ?? known('DATA_DIR') ?? './data';
  return { provider, key, baseUrl, model, harness, dataDir, port: options.port ?? Number(known('PORT') ?? 3000) };
}

function readKey(file: string): string {
  try {
    const key = readFileSync(file === '-' ? 0 : file, 'utf8').trim();
    if (key !== '' && !/\s/.test(key)) return key;
  } catch (cause) {
    throw new CommandError(EXIT.usage, { title: `The key in ${file} cannot be read.` }, cause);
  }
  throw new CommandError(EXIT.usage, { title: `There is no key in ${file}: one line is wanted.` });
}

/** Loaded when it is needed: the engine and the databases come along. */
const tryAtProvider: TryKey = async (provider, key, baseUrl) => {
  const { tryProviderKey } = await import('../diagnose.ts');
  return tryProviderKey(provider, key, baseUrl);
};

/** A key that is refused is not written; a provider that cannot be asked may be there later. */
async function checked(
  { provider, key, baseUrl }: Answers,
  tryKey: TryKey,
): Promise<{ readonly result: string; readonly message: string } | undefined> {
  if (provider === 'demo') return undefined;
  const { result, message } = await tryKey(provider, key, baseUrl);
  if (result === 'invalid')
    throw new CommandError(EXIT.refused, {
      title: 'The provider does not take this key.',
      detail: message,
      fix: 'Use another, or --no-test.',
    });
  return { result, message };
}

function write(file: string, answers: Answers, isEnvFile: boolean): void {
  const isElsewhere = path.resolve(answers.dataDir) !== path.resolve('./data');
  const settings = settingsFrom(answers, { hasDataDir: isEnvFile && isElsewhere });
  mkdirSync(path.dirname(file), { recursive: true, ...(isEnvFile ? {} : { mode: 0o700 }) });
  // Closed to others before the key is in it.
  if (existsSync(file)) chmodSync(file, 0o600);
  writeFileSync(file, isEnvFile ? envFileOf(settings) : yamlFileOf(settings), { mode: 0o600 });
}

function nextSteps({ dataDir, harness }: Answers, dotenv: string | undefined): readonly string[] {
  const isUsual = path.resolve(dataDir) === path.resolve('./data');
  const start = dotenv === undefined ? `${isUsual ? '' : `DATA_DIR=${path.resolve(dataDir)} `}cloister serve` : './docker-start.sh';
  return [
    ...(harness === 'claude' ? ['First the image for Claude Code:  npm run image -- --harness claude'] : []),
    `Start it:   ${start}`,
    'Check it:   cloister doctor',
  ];
}

function parsePort(text: string): number {
  if (isPort(Number(text))) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 1 to 65535.');
}
