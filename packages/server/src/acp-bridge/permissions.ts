import type * as acp from '@agentclientprotocol/sdk';
import { type Client, ClientError, type ToolUseEvent } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { persist } from './patience.ts';
import { toolCall } from './updates.ts';

export interface PermissionDeps {
  readonly client: Client;
  readonly editor: Pick<acp.AgentContext, 'request'>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const OPTIONS: acp.PermissionOption[] = [
  { optionId: 'allow', name: 'Allow', kind: 'allow_once' },
  { optionId: 'deny', name: 'Deny', kind: 'reject_once' },
];

/** Questions that wait for the editor. Whoever answers first, there or elsewhere, has decided. */
export interface Questions {
  ask(sessionId: string, event: ToolUseEvent): void;
  /** It was answered, here or elsewhere. */
  settle(toolUseId: string): void;
  /** The turn is over, and with it its questions. */
  close(): void;
}

export function createQuestions(deps: PermissionDeps, onError: (error: unknown) => void): Questions {
  const open = new Map<string, AbortController>();

  async function ask(sessionId: string, event: ToolUseEvent, settled: AbortSignal): Promise<void> {
    const { outcome } = await deps.editor.request(
      'session/request_permission',
      { sessionId, toolCall: toolCall(event), options: OPTIONS },
      { cancellationSignal: settled, stopWaitingOnCancel: true },
    );
    // An editor that cancels the question cancels the turn, and says so by itself.
    if (outcome.outcome === 'cancelled') return;
    const result = outcome.optionId === 'allow' ? 'allow' : 'deny';
    await persist(deps.clock, deps.signal, () =>
      deps.client.events.send(sessionId, [{ type: 'user.tool_confirmation', tool_use_id: event.id, result }]),
    ).catch((error: unknown) => {
      if (!(error instanceof ClientError && error.code === 'approval_not_pending')) throw error;
    });
  }

  return {
    ask(sessionId, event) {
      if (open.has(event.id)) return;
      const settled = new AbortController();
      open.set(event.id, settled);
      ask(sessionId, event, settled.signal)
        .catch((error: unknown) => {
          if (!settled.signal.aborted && !deps.signal.aborted) onError(error);
        })
        .finally(() => open.delete(event.id));
    },
    settle: (id) => open.get(id)?.abort(),
    close() {
      for (const settled of open.values()) settled.abort();
    },
  };
}
