import type { Provider } from './model.ts';

/** Tokens of the four kinds that are charged apart. */
export interface Tokens {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheCreationTokens: number;
}

/** Millionths of the currency for a million tokens of each kind: whole numbers, so that no sum is rounded. */
export interface TokenPrices {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
}

/** One row of the price table. */
export interface Price {
  readonly provider: Provider;
  /** A name in which `*` stands for anything. */
  readonly model: string;
  /** From this moment on; until then the row before it holds. */
  readonly validFrom: number;
  readonly prices: TokenPrices;
}

export interface PriceFound {
  readonly prices: TokenPrices;
  /** Says which row it is from, and since when that holds. */
  readonly version: string;
  /** No row knows the model: the fallback's price was taken. */
  readonly isEstimated: boolean;
}

const PER_TOKENS = 1_000_000n;

/** In millionths of the currency, rounded up once for the whole call: what is used is never free of charge. */
export function costOf(tokens: Tokens, prices: TokenPrices): number {
  const parts: readonly (readonly [number, number])[] = [
    [tokens.inputTokens, prices.input],
    [tokens.outputTokens, prices.output],
    [tokens.cacheReadTokens, prices.cacheRead],
    [tokens.cacheCreationTokens, prices.cacheWrite],
  ];
  const sum = parts.reduce((total, [count, price]) => total + BigInt(count) * BigInt(price), 0n);
  return Number((sum + PER_TOKENS - 1n) / PER_TOKENS);
}

/** What a call may come to at most: every input token at the dearest kind of input. */
export function worstCost(tokens: { readonly input: number; readonly output: number }, prices: TokenPrices): number {
  const input = Math.max(prices.input, prices.cacheRead, prices.cacheWrite);
  const counts = { inputTokens: tokens.input, outputTokens: tokens.output, cacheReadTokens: 0, cacheCreationTokens: 0 };
  return costOf(counts, { ...prices, input });
}

/** What went over the wire of one call. */
export interface Traffic {
  readonly requestBytes: number;
  /** Of an answer that was no error. */
  readonly answerBytes: number;
  readonly isStream: boolean;
  /** The provider's own counts of the whole answer were read. */
  readonly isCounted: boolean;
}

const BYTES_PER_TOKEN = 4;
/** Of a stream most bytes are the frame around a few letters. */
const STREAM_BYTES_PER_TOKEN = 32;

/**
 * The provider's counts; of an answer that ended before they were all said, at least what its bytes speak for, so that
 * hanging up just before the end makes nothing cheaper.
 */
export function countedOrEstimated<T extends Tokens>(usage: T, traffic: Traffic): { readonly usage: T; readonly isEstimated: boolean } {
  const { requestBytes, answerBytes, isStream, isCounted } = traffic;
  if (isCounted || answerBytes === 0) return { usage, isEstimated: false };
  const hasInput = usage.inputTokens + usage.cacheReadTokens + usage.cacheCreationTokens > 0;
  const inputTokens = hasInput ? usage.inputTokens : Math.ceil(requestBytes / BYTES_PER_TOKEN);
  const spoken = Math.ceil(answerBytes / (isStream ? STREAM_BYTES_PER_TOKEN : BYTES_PER_TOKEN));
  return { usage: { ...usage, inputTokens, outputTokens: Math.max(usage.outputTokens, spoken) }, isEstimated: true };
}
