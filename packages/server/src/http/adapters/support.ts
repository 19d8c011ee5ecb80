import type { ErrorEnvelope } from '@cloister/api';
import type { AdapterName } from '../../config.ts';
import type { RouteTable } from '../openapi.ts';

/** Another system's API, as a translation onto the use cases. */
export interface HttpAdapter {
  readonly name: AdapterName;
  /** Whether a path is the adapter's: what goes wrong there is told in its own shape. */
  owns(path: string): boolean;
  /** An error as the adapter's clients expect it. */
  renderError(problem: AdapterProblem): RenderedError;
  routes(table: RouteTable): void;
}

export interface AdapterProblem {
  readonly status: number;
  readonly error: ErrorEnvelope['error'];
  readonly requestId: string;
}

export interface RenderedError {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}
