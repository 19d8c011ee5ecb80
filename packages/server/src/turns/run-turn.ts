import type { ContentBlock } from '@agentclientprotocol/sdk';
import { type Clock, delay } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Provider } from '../core/model.ts';
import type { HarnessCatalog } from '../harness/catalog.ts';
import type { LiveSandboxes } from '../sandboxes/live-sandboxes.ts';
import { exitProblem, type OpenSandbox } from '../sandboxes/open-sandbox.ts';
import type { LeasedTurn, RunToken, Store } from '../store/store.ts';
import { resolveAgent } from './agent-options.ts';
import type { TurnProblem } from './events.ts';
import { describeFailure } from './failure.ts';
import { finishTurn, parkTurn, requeueTurn, type TurnEnd } from './outcome.ts';
import { createPermissions, type Permissions } from './permissions.ts';
import { continuationContent, primingContent, toPromptContent } from './prompt.ts';
import { createRecorder, type PreviewSink, type Recorder } from './recorder.ts';

export interface RunDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly live: LiveSandboxes;
  readonly catalog: HarnessCatalog;
  readonly providers: ReadonlySet<Provider>;
  readonly publishPreview: PreviewSink;
  readonly leaseMs: number;
  readonly turnTimeoutMs: number;
}

/** One attempt at a turn, under its lease. */
export interface ActiveRun {
  readonly sessionId: string;
  /** Resolves when nothing of the attempt runs any more; never rejects. */
  readonly done: Promise<void>;
  isWaiting(): boolean;
  /** The user wants it to stop. */
  interrupt(): void;
  /** An approval of the session was decided. */
  confirmed(): void;
  /** Gives the sandbox up while the turn waits for an approval; it goes on in another one later. */
  park(): void;
  /** The server stops: hands the turn back when nothing is lost by it, else ends it as interrupted. */
  handBack(): void;
}

type StopCause = 'interrupt' | 'timeout' | 'park' | 'hand_back' | 'lease_lost';

/** How long an agent may take to honour a cancel before its sandbox is removed: a stop is felt within a second. */
const CANCEL_GRACE_MS = 700;
const EXIT_REPORT_MS = 5000;

export function startRun(deps: RunDeps, leased: LeasedTurn): ActiveRun {
  const { turn, session } = leased;
  const token: RunToken = { turnId: turn.id, attempt: turn.attempt };
  const stop = new AbortController();
  let cause: StopCause | undefined;
  let permissions: Permissions | undefined;

  const halt = (why: StopCause) => {
    if (cause !== undefined) return;
    cause = why;
    stop.abort(new PlatformError('bug', { detail: `The run was stopped: ${why}.` }));
  };
  // Asked for before this attempt began.
  if (turn.cancelRequested) halt('interrupt');
  const cancelTimeout = deps.clock.after(deps.turnTimeoutMs, () => halt('timeout'));
  const cancelHeartbeat = deps.clock.every(deps.leaseMs / 3, () => void heartbeat());

  async function heartbeat(): Promise<void> {
    try {
      const { cancelRequested } = await deps.store.turns.heartbeat({ ...token, leaseUntil: deps.clock.now() + deps.leaseMs });
      if (cancelRequested) halt('interrupt');
    } catch (error) {
      if (isPlatformError(error, 'lease_lost')) halt('lease_lost');
      else deps.log.warn({ err: error, turn: turn.id }, 'heartbeat failed');
    }
  }

  async function run(): Promise<void> {
    const recorder = newRecorder(deps, leased, stop.signal);
    try {
      const end = await attempt(recorder);
      await settle(recorder, end);
    } catch (error) {
      if (isPlatformError(error, 'lease_lost')) deps.log.warn({ turn: turn.id, attempt: turn.attempt }, 'the turn was taken over by another worker');
      else deps.log.error({ err: error, turn: turn.id }, 'the turn could not be settled');
      await deps.live.discard(session.id);
    } finally {
      cancelTimeout();
      cancelHeartbeat();
    }
  }

  /** Does the work; answers how it ended. Throws only what cannot be told as an end. */
  async function attempt(recorder: Recorder): Promise<TurnEnd> {
    let sandbox: OpenSandbox | undefined;
    try {
      const { harness, options } = resolveAgent(session.agent, deps.catalog, deps.providers);
      sandbox = await deps.live.acquire({ session, harness, options, signal: stop.signal });
      permissions = createPermissions({ store: deps.store, clock: deps.clock, recorder, rules: options.tools, tenantId: session.tenantId, sessionId: session.id, earlier: leased.approvals });
      sandbox.observe(recorder.observer);
      return await promptAgent(sandbox, recorder, permissions);
    } catch (error) {
      if (isPlatformError(error, 'lease_lost')) throw error;
      return endOfFailure(error, sandbox, recorder);
    } finally {
      sandbox?.observe(undefined);
    }
  }

  async function promptAgent(sandbox: OpenSandbox, recorder: Recorder, gate: Permissions): Promise<TurnEnd> {
    const content = await promptContent(deps, leased, sandbox);
    await recorder.append([], { isPrompted: true, harnessSessionId: sandbox.harnessSessionId });
    stop.signal.throwIfAborted();
    const prompt = sandbox.agent.prompt({ sessionId: sandbox.harnessSessionId, content, onUpdate: recorder.onUpdate, onPermission: gate.decide });
    const release = onAbort(stop.signal, () => {
      if (cause !== 'park') gate.cancel();
      void cancelPrompt(sandbox, prompt);
    });
    try {
      const { stopReason } = await prompt;
      await recorder.flush();
      if (cause !== undefined) return { type: 'stopped' };
      return stopReason === 'cancelled' ? { type: 'finished', outcome: 'cancelled', stopReason, problem: null } : { type: 'finished', outcome: 'completed', stopReason, problem: null };
    } finally {
      release();
    }
  }

  /** Stops the model at once, asks the agent to stop, and removes its sandbox when it does not. */
  async function cancelPrompt(sandbox: OpenSandbox, prompt: Promise<unknown>): Promise<void> {
    if (cause === 'park' || cause === 'lease_lost') return deps.live.discard(session.id);
    sandbox.abortModelCalls();
    // An agent that is gone cannot be asked; its prompt ends all the same.
    await sandbox.agent.cancel(sandbox.harnessSessionId).catch(() => undefined);
    const settled = prompt.then(() => true, () => true);
    const late = delay(deps.clock, CANCEL_GRACE_MS).then(() => false);
    if (!(await Promise.race([settled, late]))) await deps.live.discard(session.id);
  }

  async function endOfFailure(error: unknown, sandbox: OpenSandbox | undefined, recorder: Recorder): Promise<TurnEnd> {
    if (cause !== undefined) return { type: 'stopped' };
    const exit = isPlatformError(error, 'sandbox_exited') && sandbox !== undefined ? await exitOf(sandbox) : undefined;
    const problem = describeFailure(exit ?? error, recorder.lastModelFailure());
    if (problem.code === 'bug') deps.log.error({ err: error, turn: turn.id }, 'the turn failed for a reason of our own');
    await recorder.flush(error instanceof Error ? { dropText: error.message } : {});
    if (problem.code === 'capacity_exhausted') return { type: 'requeue' };
    const outcome = problem.code === 'sandbox_exited' && sandbox !== undefined ? 'interrupted' : 'failed';
    return { type: 'finished', outcome, stopReason: null, problem };
  }

  async function exitOf(sandbox: OpenSandbox): Promise<PlatformError | undefined> {
    const report = await Promise.race([sandbox.exited, delay(deps.clock, EXIT_REPORT_MS).then(() => undefined)]);
    if (report === undefined) await deps.live.discard(session.id);
    return report === undefined ? undefined : exitProblem(report, sandbox.diagnostics());
  }

  /** Writes the end of the attempt, and only then lets the sandbox go: the next turn finds the log complete. */
  async function settle(recorder: Recorder, end: TurnEnd): Promise<void> {
    const context = { store: deps.store, clock: deps.clock, leased, recorder };
    const final = end.type === 'stopped' ? stoppedEnd(recorder) : end;
    if (final.type === 'lost') return deps.live.discard(session.id);
    if (final.type === 'parked') {
      await parkTurn(context);
      return deps.live.discard(session.id);
    }
    if (final.type === 'requeue') {
      await deps.live.discard(session.id);
      return requeueTurn(context);
    }
    await recorder.flush();
    await finishTurn(context, final);
    deps.live.release(session.id);
  }

  function stoppedEnd(recorder: Recorder): Exclude<TurnEnd, { type: 'stopped' }> {
    if (cause === 'lease_lost') return { type: 'lost' };
    if (cause === 'park') return { type: 'parked' };
    if (cause === 'timeout') return failed('turn_timeout', `The turn ran longer than ${deps.turnTimeoutMs / 1000} s and was stopped.`);
    if (cause !== 'hand_back') return { type: 'finished', outcome: 'cancelled', stopReason: 'cancelled', problem: null };
    if (permissions === undefined) return { type: 'requeue' };
    const problem: TurnProblem = { code: 'turn_interrupted', message: 'The server was stopped in the middle of this turn.' };
    return recorder.toolLog.isEmpty() ? { type: 'requeue' } : { type: 'finished', outcome: 'interrupted', stopReason: null, problem };
  }

  return {
    sessionId: session.id,
    done: run(),
    isWaiting: () => permissions?.isWaiting() ?? false,
    interrupt: () => halt('interrupt'),
    confirmed: () => {
      permissions?.refresh().catch((error: unknown) => deps.log.error({ err: error, turn: turn.id }, 'an answer could not be passed on'));
    },
    park: () => halt('park'),
    handBack: () => halt(permissions?.isWaiting() ? 'park' : 'hand_back'),
  };
}

function failed(code: TurnProblem['code'], message: string): Exclude<TurnEnd, { type: 'stopped' }> {
  return { type: 'finished', outcome: 'failed', stopReason: null, problem: { code, message } };
}

function newRecorder(deps: RunDeps, { turn, session }: LeasedTurn, signal: AbortSignal): Recorder {
  const harness = deps.catalog.find(typeof session.agent.harness === 'string' ? session.agent.harness : deps.catalog.defaultId);
  return createRecorder(
    { store: deps.store, clock: deps.clock, publishPreview: deps.publishPreview, signal, toolName: harness?.toolName ?? ((name) => name) },
    { turnId: turn.id, attempt: turn.attempt, sessionId: session.id },
  );
}

/** Sandboxes whose agent has been given the log once already. */
const primed = new WeakSet<OpenSandbox>();

async function promptContent(deps: RunDeps, leased: LeasedTurn, sandbox: OpenSandbox): Promise<ContentBlock[]> {
  const own = leased.turn.isContinuation ? continuationContent(leased.approvals) : toPromptContent(leased.message);
  if (sandbox.isResumed || primed.has(sandbox)) return own;
  primed.add(sandbox);
  return [...(await primingContent(deps.store, leased.message)), ...own];
}

function onAbort(signal: AbortSignal, run: () => void): () => void {
  if (signal.aborted) run();
  else signal.addEventListener('abort', run, { once: true });
  return () => signal.removeEventListener('abort', run);
}
