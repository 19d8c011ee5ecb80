import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { PlatformError } from '../base/errors.ts';
import { isProvider, PROVIDERS } from '../core/model.ts';
import type { Price, TokenPrices } from '../core/model-cost.ts';
import { createPriceTable, type PriceOverrides, type PriceTable } from './prices.ts';

/** The price table, with what the operator's file says; a file that cannot be used keeps the server from starting. */
export async function openPriceTable(file: string | undefined): Promise<PriceTable> {
  if (file === undefined) return createPriceTable();
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new PlatformError('config_invalid', { detail: `PRICES_FILE: ${file} cannot be read.`, cause });
  });
  return createPriceTable(parsePrices(text));
}

/** Reads YAML, of which JSON is a part. Throws `config_invalid` naming the place. */
export function parsePrices(text: string): PriceOverrides {
  const value = parsed(text);
  const { currency, fallback, prices, ...rest } = recordAt(value, '');
  requireNone(rest, '');
  if (currency !== undefined && (typeof currency !== 'string' || !/^[A-Z]{3}$/.test(currency)))
    throw wrong('currency', 'it is no code of three capital letters, such as USD');
  if (prices !== undefined && !Array.isArray(prices)) throw wrong('prices', 'it is no list');
  const list: readonly unknown[] = prices ?? [];
  return {
    currency,
    fallback: fallback === undefined ? undefined : tokenPrices(recordAt(fallback, 'fallback'), 'fallback'),
    prices: list.map((row, index) => priceAt(row, `prices[${index}]`)),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function parsed(text: string): unknown {
  try {
    const value: unknown = parse(text);
    return value ?? {};
  } catch (cause) {
    const where = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : '';
    throw wrong('', `it is neither JSON nor YAML: ${where}`);
  }
}

function priceAt(value: unknown, at: string): Price {
  const { provider, model, valid_from: validFrom, ...rest } = recordAt(value, at);
  if (typeof provider !== 'string' || !isProvider(provider))
    throw wrong(`${at}.provider`, `${JSON.stringify(provider)} is none of ${PROVIDERS.join(', ')}`);
  if (typeof model !== 'string' || model === '' || model.length > 200)
    throw wrong(`${at}.model`, 'it is no name of a model, in which * stands for anything');
  return { provider, model, validFrom: dayAt(validFrom, `${at}.valid_from`), prices: tokenPrices(rest, at) };
}

/** Cached input costs as input where nothing else is said. */
function tokenPrices(fields: Fields, at: string): TokenPrices {
  const { input, output, cache_read: cacheRead = input, cache_write: cacheWrite = input, ...rest } = fields;
  requireNone(rest, at);
  return {
    input: microsAt(input, `${at}.input`),
    output: microsAt(output, `${at}.output`),
    cacheRead: microsAt(cacheRead, `${at}.cache_read`),
    cacheWrite: microsAt(cacheWrite, `${at}.cache_write`),
  };
}

const MICROS = 1_000_000;
const MAX_PRICE = 100_000;

function microsAt(value: unknown, at: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0 || value > MAX_PRICE)
    throw wrong(at, `${JSON.stringify(value) ?? 'nothing'} is no price for a million tokens, from 0 to ${MAX_PRICE}`);
  const micros = Math.round(value * MICROS);
  if (Math.abs(micros - value * MICROS) > 1e-3) throw wrong(at, `${value} has more than six decimals`);
  return micros;
}

function dayAt(value: unknown, at: string): number {
  const time = typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value) ? Date.parse(`${value}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(time)) throw wrong(at, `${JSON.stringify(value) ?? 'nothing'} is no day such as 2026-01-31`);
  return time;
}

function recordAt(value: unknown, at: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(at, 'it is no object');
  return Object.fromEntries(Object.entries(value));
}

function requireNone(rest: Fields, at: string): void {
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw wrong(at === '' ? unknown : `${at}.${unknown}`, 'there is no such field');
}

function wrong(at: string, why: string): PlatformError {
  const where = at === '' ? 'the file' : at;
  return new PlatformError('config_invalid', { detail: `PRICES_FILE: ${where}: ${why}.`, fields: [{ pointer: at, message: why }] });
}
