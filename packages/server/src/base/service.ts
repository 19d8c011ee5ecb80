/**
 * The life of every background part. `start` and `stop` may each be called twice; `stop` before
 * `start` is fine; `stop` resolves when nothing of the part runs any more.
 */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}
