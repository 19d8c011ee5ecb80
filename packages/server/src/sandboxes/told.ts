import type { AuditEntry } from '../core/audit.ts';
import { describeDeed } from './loss.ts';
import type { OpenSandbox, OpenSandboxInput } from './open-sandbox.ts';

type Open = (input: OpenSandboxInput) => Promise<OpenSandbox>;

/** Tells the audit of each sandbox that is made and removed, and of what others did to it. No start waits for that. */
export function toldOpen(open: Open, tell: (entry: AuditEntry) => void): Open {
  return async (input) => {
    const sandbox = await open(input);
    const { tenantId, id, agentId, environmentId } = input.session;
    const entry = { tenantId, actor: 'system', subject: sandbox.sandboxId } as const;
    // One of the pool has no session yet.
    const session = input.ahead === undefined ? { session: id } : {};
    tell({ ...entry, action: 'sandbox.created', detail: { ...session, agent: agentId, environment: environmentId } });
    let isOver = false;
    const tellEnd = (detail: { readonly why: string }): void => {
      if (!isOver) tell({ ...entry, action: 'sandbox.removed', detail });
      isOver = true;
    };
    void sandbox.exited.then(({ outside, signal }) => {
      if (outside !== undefined) tellEnd({ why: describeDeed(outside, signal) });
    });
    const close = sandbox.close.bind(sandbox);
    sandbox.close = async () => {
      tellEnd({ why: 'closed' });
      await close();
    };
    return sandbox;
  };
}
