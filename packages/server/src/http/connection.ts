import type { AppContext } from './context.ts';

/** What the HTTP server hands along with a request. */
export interface Connection {
  readonly remoteAddress: string | undefined;
  /** Ends it at once, without an orderly end of the answer. */
  cut(): void;
  /** Called when the answer has ended, in whatever way. */
  onClose(run: () => void): void;
}

interface Bindings {
  readonly incoming?: { readonly socket: { readonly remoteAddress?: string } };
  readonly outgoing?: { destroy(): void; once?(event: 'close', run: () => void): void };
}

export function connectionOf(c: AppContext): Connection | undefined {
  // The adapter's own type; nothing is there when the app is asked without a server.
  const { incoming, outgoing } = (c.env ?? {}) as Bindings;
  if (incoming === undefined || outgoing === undefined) return undefined;
  return {
    remoteAddress: incoming.socket.remoteAddress,
    cut: () => outgoing.destroy(),
    onClose: (run) => outgoing.once?.('close', run),
  };
}
