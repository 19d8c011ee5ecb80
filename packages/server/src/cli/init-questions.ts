import { confirm, intro, isCancel, password, select, spinner, text } from '@clack/prompts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { type Answers, HARNESSES, INIT_PROVIDERS, type InitProvider } from './init-answers.ts';
import { note, printable } from './output.ts';

type Verdict = { readonly result: string; readonly message: string };
export type TryKey = (provider: InitProvider, key: string | undefined, baseUrl: string | undefined) => Promise<Verdict>;

const TITLES: Readonly<Record<InitProvider, string>> = {
  anthropic: 'Anthropic',
  openai: 'OpenAI',
  google: 'Google',
  deepseek: 'DeepSeek',
  xai: 'xAI',
  'openai-compatible': "a server that speaks OpenAI's API, such as Ollama or vLLM",
  demo: 'none: the demo model, which needs no key and has no intelligence',
};

/** Asks for what the flags leave open, each with what is usual. */
export async function askAnswers(given: Answers, tryKey: TryKey | undefined): Promise<Answers> {
  intro('Cloister');
  const provider = await answer(
    select({
      message: 'Whose models shall the agents use?',
      initialValue: given.provider,
      options: INIT_PROVIDERS.map((value) => ({ value, label: TITLES[value] })),
    }),
  );
  const baseUrl = provider === 'openai-compatible' ? await ask('Where is it?', given.baseUrl ?? 'http://127.0.0.1:11434/v1') : undefined;
  const key = provider === 'demo' ? undefined : await askKey(provider, given.key, baseUrl, tryKey);
  const model = provider === 'openai-compatible' ? await ask('Which of its models?', given.model ?? '') : given.model;
  const harness = await answer(
    select({
      message: 'Which program shall run the agents?',
      initialValue: given.harness,
      options: HARNESSES.map((value) => ({
        value,
        label: value === 'builtin' ? 'the built-in one' : 'Claude Code, whose image you build',
      })),
    }),
  );
  const dataDir = await ask('Where shall database, workspaces and keys be kept?', given.dataDir);
  const port = await answer(
    text({
      message: 'On which port shall the server listen?',
      initialValue: String(given.port),
      validate: (value) => (isPort(Number(value)) ? undefined : 'A whole number from 1 to 65535.'),
    }),
  );
  return { provider, key, baseUrl, model: model === '' ? undefined : model, harness, dataDir, port: Number(port) };
}

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

export async function askToReplace(file: string): Promise<boolean> {
  return answer(confirm({ message: `${file} is there already. Replace it?`, initialValue: false }));
}

async function askKey(
  provider: InitProvider,
  given: string | undefined,
  baseUrl: string | undefined,
  tryKey: TryKey | undefined,
): Promise<string | undefined> {
  for (let key = given; ; key = undefined) {
    const isOptional = provider === 'openai-compatible';
    key ??= await answer(password({ message: `Its API key${isOptional ? ', if it needs one' : ''}:` }));
    const typed = key === '' || key === undefined ? undefined : key.trim();
    if (typed === undefined && !isOptional) continue;
    if (tryKey === undefined) return typed;
    const wait = spinner();
    wait.start('Asking the provider');
    const { result, message } = await tryKey(provider, typed, baseUrl);
    wait.stop(printable(message));
    if (result === 'ok' || (result !== 'invalid' && (await answer(confirm({ message: 'Use it all the same?', initialValue: true })))))
      return typed;
    note('Another key, then.', 'yellow');
  }
}

async function ask(message: string, initialValue: string): Promise<string> {
  return answer(text({ message, initialValue, validate: (value) => (value?.trim() ? undefined : 'It cannot be left out.') }));
}

async function answer<T>(asked: Promise<T>): Promise<Exclude<T, symbol>> {
  const value = await asked;
  if (isCancel(value)) throw new CommandError(EXIT.interrupted, { title: 'Nothing was written.' });
  // What is no answer has just been thrown.
  return value as Exclude<T, symbol>;
}
