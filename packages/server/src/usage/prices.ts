import type { Provider } from '../core/model.ts';
import type { Price, PriceFound, TokenPrices } from '../core/model-cost.ts';
import { PUBLISHED_PRICES } from './prices-published.ts';

export interface PriceTable {
  /** An ISO 4217 code; all money of the installation is in it. */
  readonly currency: string;
  readonly rows: readonly Price[];
  readonly fallback: TokenPrices;
  /** What holds for the model at that time. Never free because it is unknown. */
  find(provider: Provider, model: string | null, at: number): PriceFound;
}

export interface PriceOverrides {
  readonly currency?: string | undefined;
  readonly fallback?: TokenPrices | undefined;
  readonly prices: readonly Price[];
}

/** As dear as what is dear: an unknown model must not be a way round a budget. */
const FALLBACK: TokenPrices = { input: 5_000_000, output: 25_000_000, cacheRead: 500_000, cacheWrite: 6_250_000 };

/** The published prices, with the operator's own before them: where both know a model, the operator's hold. */
export function createPriceTable(overrides: PriceOverrides = { prices: [] }): PriceTable {
  const own = overrides.prices.map(prepare);
  const published = PUBLISHED_PRICES.map(prepare);
  const fallback = overrides.fallback ?? FALLBACK;
  const known = new Map<string, readonly Prepared[]>();
  const matching = (provider: Provider, model: string): readonly Prepared[] => {
    const key = `${provider}/${model}`;
    const found = known.get(key) ?? [best(own, provider, model), best(published, provider, model)].flat();
    // Names come from sandboxes.
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(key, found);
    return found;
  };
  return {
    currency: overrides.currency ?? 'USD',
    rows: [...overrides.prices, ...PUBLISHED_PRICES],
    fallback,
    find(provider, model, at) {
      const row = model === null ? undefined : matching(provider, model).find(({ price }) => price.validFrom <= at);
      if (row === undefined) return { prices: fallback, version: 'fallback', isEstimated: true };
      return { prices: row.price.prices, version: row.version, isEstimated: false };
    },
  };
}

const MAX_KNOWN = 1000;

interface Prepared {
  readonly price: Price;
  readonly pattern: RegExp;
  readonly letters: number;
  readonly version: string;
}

function prepare(price: Price): Prepared {
  const parts = price.model.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const letters = price.model.replaceAll('*', '').length + (price.model.includes('*') ? 0 : 1000);
  const day = new Date(price.validFrom).toISOString().slice(0, 10);
  return { price, pattern: new RegExp(`^${parts.join('.*')}$`, 's'), letters, version: `${price.provider}/${price.model}@${day}` };
}

/** Of the rows that fit, those of the name that says most; the newest first. */
function best(rows: readonly Prepared[], provider: Provider, model: string): readonly Prepared[] {
  const fitting = rows.filter(({ price, pattern }) => price.provider === provider && pattern.test(model));
  const most = Math.max(...fitting.map(({ letters }) => letters));
  return fitting.filter(({ letters }) => letters === most).sort((a, b) => b.price.validFrom - a.price.validFrom);
}
