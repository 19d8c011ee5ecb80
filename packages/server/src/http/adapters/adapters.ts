import type { AdapterSettings } from '../../config.ts';
import { openAiAdapter } from './openai/adapter.ts';
import type { HttpAdapter } from './support.ts';

const ALL: readonly HttpAdapter[] = [openAiAdapter];

/** Those that are switched on. */
export function chooseAdapters({ enabled }: AdapterSettings): readonly HttpAdapter[] {
  return ALL.filter(({ name }) => enabled.has(name));
}
