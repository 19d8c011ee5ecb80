import { isJsonObject, type JsonValue } from '../../base/json.ts';
import type { CommitNotice, Preview, StoredEvent } from '../store.ts';

/** What servers say to each other through the database. `node` is the one that speaks. */
export interface Message {
  readonly node: string;
  /** `hello` asks the others to make themselves known; any message does that. */
  readonly isHello: boolean;
  readonly notices: readonly CommitNotice[];
  readonly previews: readonly Preview[];
}

/** PostgreSQL takes less than 8000 bytes. */
const MAX_BYTES = 7900;

/** The messages for all of them, as few as their size allows; what is too large for any is left out. */
export function formatNotices(node: string, notices: readonly CommitNotice[]): string[] {
  return pack(notices.map(formatNotice), (items) => `{"node":${JSON.stringify(node)},"notices":[${items}]}`);
}

export function formatPreviews(node: string, previews: readonly Preview[]): string[] {
  return pack(
    previews.map(({ sessionId, preview }) => JSON.stringify([sessionId, preview])),
    (items) => `{"node":${JSON.stringify(node)},"previews":[${items}]}`,
  );
}

export function formatBeat(node: string, { isHello }: { readonly isHello: boolean }): string {
  return JSON.stringify({ node, hello: isHello });
}

function pack(items: readonly string[], wrap: (items: string) => string): string[] {
  const room = MAX_BYTES - Buffer.byteLength(wrap(''));
  const payloads: string[] = [];
  let batch: string[] = [];
  let used = 0;
  for (const item of items) {
    const size = Buffer.byteLength(item) + 1;
    if (size > room) continue;
    if (used + size > room) {
      payloads.push(wrap(batch.join()));
      batch = [];
      used = 0;
    }
    batch.push(item);
    used += size;
  }
  return batch.length > 0 ? [...payloads, wrap(batch.join())] : payloads;
}

function formatNotice({ tenantId, sessionId, fromSeq, toSeq, types, events }: CommitNotice): string {
  // Of a session that is gone no log can be read.
  const isGone = types.includes('session.deleted');
  return JSON.stringify([tenantId, sessionId, fromSeq, toSeq, types, ...(isGone && events !== undefined ? [events] : [])]);
}

/** Undefined for what none of us has said: the channels are open to all who may connect. */
export function parseMessage(payload: string): Message | undefined {
  const value = parseJson(payload);
  if (!isJsonObject(value) || typeof value.node !== 'string') return undefined;
  const { node, hello, notices, previews } = value;
  return {
    node,
    isHello: hello === true,
    notices: isList(notices) ? notices.flatMap(parseNotice) : [],
    previews: isList(previews) ? previews.flatMap(parsePreview) : [],
  };
}

function parseJson(payload: string): JsonValue | undefined {
  try {
    // JSON.parse makes nothing else.
    return JSON.parse(payload) as JsonValue;
  } catch {
    return undefined;
  }
}

function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function parseNotice(value: JsonValue): CommitNotice[] {
  if (!isList(value)) return [];
  const [tenantId, sessionId, fromSeq, toSeq, types, events] = value;
  if (typeof tenantId !== 'string' || typeof sessionId !== 'string' || typeof fromSeq !== 'number' || typeof toSeq !== 'number') return [];
  const names = isList(types) ? types.filter((type) => typeof type === 'string') : [];
  const notice = { tenantId, sessionId, fromSeq, toSeq, types: names, isRemote: true };
  // Written by `formatNotice` of a server of the same kind.
  return [isList(events) ? { ...notice, events: events as unknown as readonly StoredEvent[] } : notice];
}

function parsePreview(value: JsonValue): Preview[] {
  if (!isList(value)) return [];
  const [sessionId, preview] = value;
  return typeof sessionId === 'string' && isJsonObject(preview) ? [{ sessionId, preview }] : [];
}
