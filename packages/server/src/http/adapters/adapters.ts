import type { AdapterSettings } from '../../config.ts';
import { claudeAgentHttpAdapter } from './claude-agent-http/adapter.ts';
import { clawHqAdapter } from './clawhq/adapter.ts';
import { noclawAdapter } from './noclaw/adapter.ts';
import { openAiAdapter } from './openai/adapter.ts';
import type { HttpAdapter } from './support.ts';

const ALL: readonly HttpAdapter[] = [noclawAdapter, claudeAgentHttpAdapter, clawHqAdapter, openAiAdapter];

/** Those that are switched on. */
export function chooseAdapters({ enabled }: AdapterSettings): readonly HttpAdapter[] {
  return ALL.filter(({ name }) => enabled.has(name));
}
