import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Peers } from '../sql/engine.ts';
import type { CommitListener, CommitNotice, Preview } from '../store.ts';
import { createMailbox } from './mailbox.ts';
import { parseMessage } from './messages.ts';
import { createPeerConnection } from './peer-connection.ts';

/** By which the servers on one database tell each other what they have committed. */
export interface PeerLink extends Peers {
  /** Tells the other servers, soon and together with what else there is to tell; does nothing while there are none. */
  announce(notices: readonly CommitNotice[]): void;
  onNotices(listener: CommitListener): () => void;
  start(): Promise<void>;
  close(): Promise<void>;
}

export interface PeerOptions {
  readonly url: string;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Says that we are here, and shows that the connection is. */
const BEAT_MS = 5000;
const PEER_LIVES_MS = 3 * BEAT_MS;
const PREVIEW_PAUSE_MS = 25;

/**
 * Notices are sent after the commit and outside of its transaction: the lock that PostgreSQL takes to order
 * notifications would make all commits wait for each other.
 */
export function createPeerLink({ url, nodeId, clock, log }: PeerOptions): PeerLink {
  const noticeListeners = new Set<CommitListener>();
  const previewListeners = new Set<(preview: Preview) => void>();
  const seen = new Map<string, number>();
  const mailbox = createMailbox(nodeId);
  const connection = createPeerConnection({ url, clock, log, onPayload: hear, onUp: () => beat({ isHello: true }) });
  let isSending = false;
  let arePreviewsDue = false;
  let cancelPreviews: (() => void) | undefined;
  let cancelBeat: () => void = () => undefined;

  function hasPeers(): boolean {
    const now = clock.monotonic();
    for (const [node, at] of seen) if (now - at > PEER_LIVES_MS) seen.delete(node);
    return seen.size > 0;
  }

  function hear(payload: string): void {
    const message = parseMessage(payload);
    if (message === undefined || message.node === nodeId) return;
    seen.set(message.node, clock.monotonic());
    if (message.isHello) beat({ isHello: false });
    if (message.notices.length > 0) for (const listener of noticeListeners) listener(message.notices);
    for (const preview of message.previews) for (const listener of previewListeners) listener(preview);
  }

  function beat(kind: { readonly isHello: boolean }): void {
    mailbox.addBeat(kind);
    void send();
  }

  /** One message is on its way at a time; what comes meanwhile goes with the next. */
  async function send(): Promise<void> {
    if (isSending || !connection.isUp()) return;
    isSending = true;
    for (;;) {
      const letters = mailbox.take({ withPreviews: arePreviewsDue });
      arePreviewsDue = false;
      if (letters.length === 0) break;
      await connection.send(letters);
    }
    isSending = false;
  }

  return {
    start() {
      cancelBeat = clock.every(BEAT_MS, () => connection.isUp() && beat({ isHello: false }));
      return connection.start();
    },
    announce(notices) {
      if (!hasPeers()) return;
      mailbox.addNotices(notices);
      void send();
    },
    onNotices: (listener) => subscribe(noticeListeners, (notices) => listener(notices)),
    publishPreview(preview) {
      if (!hasPeers()) return;
      mailbox.addPreview(preview);
      cancelPreviews ??= clock.after(PREVIEW_PAUSE_MS, () => {
        cancelPreviews = undefined;
        arePreviewsDue = true;
        void send();
      });
    },
    onPreview: (listener) => subscribe(previewListeners, (preview) => listener(preview)),
    async close() {
      cancelBeat();
      cancelPreviews?.();
      await connection.close();
    },
  };
}

function subscribe<L>(listeners: Set<L>, own: L): () => void {
  listeners.add(own);
  return () => void listeners.delete(own);
}
