/** What `cloister init` has to know. */
export interface Answers {
  readonly provider: InitProvider;
  readonly key: string | undefined;
  /** Of a server that speaks OpenAI's API. */
  readonly baseUrl: string | undefined;
  readonly model: string | undefined;
  readonly harness: string;
  readonly dataDir: string;
  readonly port: number;
}

export const INIT_PROVIDERS = ['anthropic', 'openai', 'google', 'deepseek', 'xai', 'openai-compatible', 'demo'] as const;
export type InitProvider = (typeof INIT_PROVIDERS)[number];
export const HARNESSES = ['builtin', 'claude'] as const;

const KEY_SETTINGS: Readonly<Record<InitProvider, string | undefined>> = {
  anthropic: 'ANTHROPIC_API_KEY',
  openai: 'OPENAI_API_KEY',
  google: 'GEMINI_API_KEY',
  deepseek: 'DEEPSEEK_API_KEY',
  xai: 'XAI_API_KEY',
  'openai-compatible': 'OPENAI_API_KEY',
  demo: undefined,
};

/** The settings that say it, without those that have their default. */
export function settingsFrom(answers: Answers, { hasDataDir }: { readonly hasDataDir: boolean }): readonly (readonly [string, string])[] {
  const { provider, key, baseUrl, model, harness, dataDir, port } = answers;
  const all: readonly (readonly [string | undefined, string | undefined])[] = [
    [KEY_SETTINGS[provider], key],
    ['OPENAI_BASE_URL', baseUrl],
    ['CLOISTER_MODEL', model],
    ['CLOISTER_HARNESS', harness === 'builtin' ? undefined : harness],
    ['PORT', port === 3000 ? undefined : String(port)],
    ['DATA_DIR', hasDataDir ? dataDir : undefined],
  ];
  return all.flatMap(([name, value]) => (name === undefined || value === undefined ? [] : [[name, value] as const]));
}

/** For a file that a shell, Compose or systemd reads: a value in double quotes is the same to all of them. */
export function envFileOf(settings: readonly (readonly [string, string])[]): string {
  const lines = settings.map(([name, value]) => `${name}=${/^[\w@%+=:,./-]*$/.test(value) ? value : JSON.stringify(value)}`);
  return `# Made by cloister init; docs/configuration.md has all settings.\n${lines.join('\n')}\n`;
}

export function yamlFileOf(settings: readonly (readonly [string, string])[]): string {
  const lines = settings.map(([name, value]) => `${name.toLowerCase()}: ${JSON.stringify(value)}`);
  return `# Made by cloister init; docs/configuration.md has all settings.\n${lines.join('\n')}\n`;
}
