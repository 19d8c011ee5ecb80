/** What the parts of the client are made of: one call, and what comes of it. */
export interface PageOf<T> {
  readonly data: readonly T[];
  readonly next_page: string | null;
}

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface RequestInput {
  readonly query?: Query;
  readonly body?: unknown;
  /** A body that is no JSON. */
  readonly raw?: Blob | Uint8Array<ArrayBuffer>;
  readonly form?: FormData;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** A status that is an answer here, not an error. */
  readonly accepts?: number;
}

export type Request = (method: string, path: string, input?: RequestInput) => Promise<Response>;

/** The server's answers are its own schemas', checked by its tests; a client does not parse them twice. */
export type Json = <T>(...args: Parameters<Request>) => Promise<T>;

/** The path of one of a kind, or of what it has. */
export function pathOf(kind: string, id: string, ...rest: readonly string[]): string {
  return `/v1/${[kind, id, ...rest].map(encodeURIComponent).join('/')}`;
}
