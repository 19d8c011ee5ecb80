import type { CommitNotice, Preview } from '../store.ts';
import { formatBeat, formatNotices, formatPreviews } from './messages.ts';

export const CHANNEL = 'cloister_commits';
export const PREVIEW_CHANNEL = 'cloister_previews';

export interface Letter {
  readonly channel: string;
  readonly payload: string;
}

/** What waits to be told to the other servers; all that is there goes out together. */
export interface Mailbox {
  addNotices(notices: readonly CommitNotice[]): void;
  addPreview(preview: Preview): void;
  /** `isHello` asks the others for theirs. */
  addBeat(beat: { readonly isHello: boolean }): void;
  /** Previews are held back for a moment, so that many go as one; the rest never is. */
  take(options: { readonly withPreviews: boolean }): readonly Letter[];
}

/** More than this is not kept: what is not told is found by looking. */
const MAX_NOTICES = 5000;
const MAX_PREVIEWS = 1000;

export function createMailbox(nodeId: string): Mailbox {
  let notices: CommitNotice[] = [];
  let previews: Preview[] = [];
  let beats: string[] = [];
  return {
    addNotices(more) {
      if (notices.length + more.length <= MAX_NOTICES) notices.push(...more);
    },
    addPreview(preview) {
      if (previews.length < MAX_PREVIEWS) previews.push(preview);
    },
    addBeat: (beat) => void beats.push(formatBeat(nodeId, beat)),
    take({ withPreviews }) {
      const commits = [...beats, ...formatNotices(nodeId, merge(notices))].map((payload) => ({ channel: CHANNEL, payload }));
      beats = [];
      notices = [];
      if (!withPreviews) return commits;
      const shown = formatPreviews(nodeId, previews).map((payload) => ({ channel: PREVIEW_CHANNEL, payload }));
      previews = [];
      return [...commits, ...shown];
    },
  };
}

/** Several notices of one session as one, unless they bring what is in no log. */
function merge(notices: readonly CommitNotice[]): readonly CommitNotice[] {
  const merged = new Map<string, CommitNotice>();
  const whole: CommitNotice[] = [];
  for (const notice of notices) {
    const known = merged.get(notice.sessionId);
    if (notice.types.includes('session.deleted')) whole.push(notice);
    else merged.set(notice.sessionId, known === undefined ? notice : join(known, notice));
  }
  return [...merged.values(), ...whole];
}

function join(a: CommitNotice, b: CommitNotice): CommitNotice {
  const { events: _, ...known } = a;
  const types = [...new Set([...a.types, ...b.types])];
  return { ...known, fromSeq: Math.min(a.fromSeq, b.fromSeq), toSeq: Math.max(a.toSeq, b.toSeq), types };
}
