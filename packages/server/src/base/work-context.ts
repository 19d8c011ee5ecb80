import { AsyncLocalStorage } from 'node:async_hooks';

/** What a line of the log says of the work that it is written in. */
export type WorkFields = Readonly<Record<string, string | number | undefined>>;

/** A place in a trace: 32 and 16 hexadecimal digits. */
export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
}

/**
 * The piece of work that is under way, through all of its awaits: a request, an attempt at a turn, a sandbox. What goes
 * on for longer than its beginner, as a sandbox does, has a context of its own, whose fields may be exchanged.
 */
export interface WorkContext {
  fields: WorkFields;
  /** Where its spans belong; undefined while it is not traced. */
  span?: TraceContext | undefined;
}

const current = new AsyncLocalStorage<WorkContext>();

/** Whatever `work` does, and begins, belongs to this context and to no other. */
export function withWork<T>(context: WorkContext, work: () => T): T {
  return current.run(context, work);
}

export function currentWork(): WorkContext | undefined {
  return current.getStore();
}

/** The fields of the work under way, for the log; a new object each time. */
export function workFields(): Record<string, string | number | undefined> {
  const work = current.getStore();
  if (work === undefined) return {};
  return work.span === undefined ? { ...work.fields } : { ...work.fields, trace: work.span.traceId };
}
