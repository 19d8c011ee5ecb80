import type { ContentBlock } from '@agentclientprotocol/sdk';
import type { OpenSandbox } from '../sandboxes/open-sandbox.ts';
import type { LeasedTurn, SessionRow, Store, StoredEvent } from '../store/store.ts';
import type { Attach } from './attachments.ts';
import { continuationContent, primingContent, toPromptContent } from './prompt.ts';

interface ContentDeps {
  readonly store: Store;
  /** Hands over what is attached to messages. Left out, only what they hold themselves is handed over. */
  readonly attach?: Attach | undefined;
}

/** Sandboxes whose agent has been given the log once already. */
const primed = new WeakSet<OpenSandbox>();

/** What the agent is given at the beginning of a turn. */
export async function promptContent(deps: ContentDeps, leased: LeasedTurn, sandbox: OpenSandbox): Promise<ContentBlock[]> {
  const { session, message } = leased;
  const own = leased.turn.isContinuation ? continuationContent(leased.approvals) : await messageContent(deps, session, message, sandbox);
  if (sandbox.isResumed || primed.has(sandbox)) return own;
  primed.add(sandbox);
  return [...(await primingContent(deps.store, message)), ...own];
}

export async function messageContent(
  { attach }: Pick<ContentDeps, 'attach'>,
  session: SessionRow,
  message: StoredEvent,
  { agent }: Pick<OpenSandbox, 'agent'>,
): Promise<ContentBlock[]> {
  return attach === undefined ? toPromptContent(message) : attach(session, message, agent.powers);
}
