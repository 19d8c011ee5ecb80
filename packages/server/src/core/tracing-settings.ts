/** Where traces go. */
export interface TracingSettings {
  /** Of OTLP over HTTP with JSON, path and all. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string;
  /** The part of the traces begun here that is kept, from 0 to 1. */
  readonly sampledPart: number;
}
