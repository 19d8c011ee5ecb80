import type { Provider } from '../core/model.ts';
import type { Price } from '../core/model-cost.ts';

// List prices of the providers in US dollars for a million tokens, without discounts for batches and without what is
// asked extra for long contexts, searches or storage. The date is from when a price holds. A price that changes is a new
// row with its own date: the old one stays, so that what was used before it is still charged as it was.

type Row = readonly [
  provider: Provider,
  model: string,
  validFrom: string,
  input: number,
  output: number,
  cacheRead: number,
  cacheWrite: number,
];

const ROWS: readonly Row[] = [
  ['anthropic', 'claude-opus-4-5*', '2025-11-24', 5, 25, 0.5, 6.25],
  ['anthropic', 'claude-opus-4*', '2025-05-22', 15, 75, 1.5, 18.75],
  ['anthropic', 'claude-sonnet-4*', '2025-05-22', 3, 15, 0.3, 3.75],
  ['anthropic', 'claude-haiku-4-5*', '2025-10-15', 1, 5, 0.1, 1.25],
  ['anthropic', 'claude-3-7-sonnet*', '2025-02-24', 3, 15, 0.3, 3.75],
  ['anthropic', 'claude-3-5-sonnet*', '2024-06-20', 3, 15, 0.3, 3.75],
  ['anthropic', 'claude-3-5-haiku*', '2024-11-04', 0.8, 4, 0.08, 1],
  ['anthropic', 'claude-3-opus*', '2024-03-04', 15, 75, 1.5, 18.75],
  ['anthropic', 'claude-3-haiku*', '2024-03-13', 0.25, 1.25, 0.03, 0.3],
  ['openai', 'gpt-5*', '2025-08-07', 1.25, 10, 0.125, 1.25],
  ['openai', 'gpt-5-mini*', '2025-08-07', 0.25, 2, 0.025, 0.25],
  ['openai', 'gpt-5-nano*', '2025-08-07', 0.05, 0.4, 0.005, 0.05],
  ['openai', 'gpt-5-pro*', '2025-10-06', 15, 120, 15, 15],
  ['openai', 'gpt-4.1*', '2025-04-14', 2, 8, 0.5, 2],
  ['openai', 'gpt-4.1-mini*', '2025-04-14', 0.4, 1.6, 0.1, 0.4],
  ['openai', 'gpt-4.1-nano*', '2025-04-14', 0.1, 0.4, 0.025, 0.1],
  ['openai', 'gpt-4o*', '2024-10-01', 2.5, 10, 1.25, 2.5],
  ['openai', 'gpt-4o-mini*', '2024-10-01', 0.15, 0.6, 0.075, 0.15],
  ['openai', 'o1*', '2024-12-17', 15, 60, 7.5, 15],
  ['openai', 'o3*', '2025-06-10', 2, 8, 0.5, 2],
  ['openai', 'o3-mini*', '2025-01-31', 1.1, 4.4, 0.55, 1.1],
  ['openai', 'o3-pro*', '2025-06-10', 20, 80, 20, 20],
  ['openai', 'o4-mini*', '2025-04-16', 1.1, 4.4, 0.275, 1.1],
  ['openai', 'codex-mini*', '2025-05-16', 1.5, 6, 0.375, 1.5],
  // The dearer price, for prompts of more than 200,000 tokens.
  ['google', 'gemini-3-pro*', '2025-11-18', 4, 18, 0.4, 4],
  ['google', 'gemini-2.5-pro*', '2025-06-17', 2.5, 15, 0.25, 2.5],
  ['google', 'gemini-2.5-flash*', '2025-06-17', 0.3, 2.5, 0.03, 0.3],
  ['google', 'gemini-2.5-flash-lite*', '2025-07-22', 0.1, 0.4, 0.01, 0.1],
  ['google', 'gemini-2.0-flash*', '2025-02-05', 0.1, 0.4, 0.025, 0.1],
  ['deepseek', 'deepseek-chat*', '2024-12-26', 0.27, 1.1, 0.07, 0.27],
  ['deepseek', 'deepseek-chat*', '2025-09-29', 0.28, 0.42, 0.028, 0.28],
  ['deepseek', 'deepseek-reasoner*', '2025-01-20', 0.55, 2.19, 0.14, 0.55],
  ['deepseek', 'deepseek-reasoner*', '2025-09-29', 0.28, 0.42, 0.028, 0.28],
  ['xai', 'grok-4*', '2025-07-09', 3, 15, 0.75, 3],
  ['xai', 'grok-4-fast*', '2025-09-19', 0.2, 0.5, 0.05, 0.2],
  ['xai', 'grok-code-fast*', '2025-08-28', 0.2, 1.5, 0.02, 0.2],
  ['xai', 'grok-3*', '2025-04-09', 3, 15, 0.75, 3],
  ['xai', 'grok-3-mini*', '2025-04-09', 0.3, 0.5, 0.075, 0.3],
  // Answered by the gateway itself.
  ['demo', '*', '2025-01-01', 0, 0, 0, 0],
];

const MICROS = 1_000_000;

export const PUBLISHED_PRICES: readonly Price[] = ROWS.map(([provider, model, validFrom, input, output, cacheRead, cacheWrite]) => ({
  provider,
  model,
  validFrom: Date.parse(`${validFrom}T00:00:00Z`),
  prices: {
    input: Math.round(input * MICROS),
    output: Math.round(output * MICROS),
    cacheRead: Math.round(cacheRead * MICROS),
    cacheWrite: Math.round(cacheWrite * MICROS),
  },
}));
