import type { JsonObject } from '../../base/json.ts';
import type { Page, PageInput } from './common.ts';

export const WEBHOOK_DISABLED = ['request', 'gone', 'failing'] as const;
export type WebhookDisabled = (typeof WEBHOOK_DISABLED)[number];

/** The types that an endpoint is told of; `*` alone for all. */
export type WebhookEvents = readonly string[];
export const ALL_EVENTS = '*';

export interface WebhookSecret {
  readonly value: string;
  /** When it is used no more; null for the current one. */
  readonly until: number | null;
}

export interface WebhookRow {
  readonly id: string;
  readonly tenantId: string;
  readonly url: string;
  readonly events: WebhookEvents;
  readonly description: string | null;
  readonly metadata: JsonObject;
  /** The current one first. */
  readonly secrets: readonly WebhookSecret[];
  readonly isEnabled: boolean;
  readonly disabledReason: WebhookDisabled | null;
  /** The first failed attempt since the last one that arrived. */
  readonly failingSince: number | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Endpoints that are told of what happens. Only an enabled one gets deliveries added. */
export interface WebhookStore {
  /** One that has the id already is returned as it is. Throws `webhook_limit_reached` when the tenant has `max` already. */
  create(input: {
    tenantId: string;
    id: string;
    url: string;
    events: WebhookEvents;
    description: string | null;
    metadata: JsonObject;
    secret: string;
    max: number;
    now: number;
  }): Promise<WebhookRow>;
  find(input: { tenantId: string; id: string }): Promise<WebhookRow | undefined>;
  list(input: { tenantId: string } & PageInput): Promise<Page<WebhookRow>>;
  /** Replaces what is given. Enabling forgets why it was disabled and since when it failed. Throws `webhook_not_found`. */
  update(input: {
    tenantId: string;
    id: string;
    url?: string | undefined;
    events?: WebhookEvents | undefined;
    description?: string | null | undefined;
    metadata?: JsonObject | undefined;
    isEnabled?: boolean | undefined;
    now: number;
  }): Promise<WebhookRow>;
  /** Makes `secret` the current one; the former ones go on until `keepUntil` or their own end. Throws `webhook_not_found`. */
  rotate(input: { tenantId: string; id: string; secret: string; keepUntil: number; now: number }): Promise<WebhookRow>;
  /** Removes the endpoint with its deliveries; false when there was none. */
  remove(input: { tenantId: string; id: string }): Promise<boolean>;
}
