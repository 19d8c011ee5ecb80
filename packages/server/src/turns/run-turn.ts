import { delay } from '../base/clock.ts';
import { crashPoint } from '../base/crash-points.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { withWork } from '../base/work-context.ts';
import type { AuditEntry } from '../core/audit.ts';
import type { Provider } from '../core/model.ts';
import type { Tracer } from '../core/tracing.ts';
import type { HarnessCatalog } from '../harness/catalog.ts';
import type { LiveSandboxes } from '../sandboxes/live-sandboxes.ts';
import { exitProblem, type OpenSandbox } from '../sandboxes/open-sandbox.ts';
import type { StageLog, Stages } from '../sandboxes/stages.ts';
import type { ApprovalRow, LeasedTurn, RunToken, SessionRow, Store } from '../store/store.ts';
import { resolveAgent } from './agent-options.ts';
import type { Attach } from './attachments.ts';
import { openApprovals } from './continuation.ts';
import { describeFailure } from './failure.ts';
import { openPermissions } from './open-permissions.ts';
import { finishTurn, parkTurn, requeueTurn, retryTurn, type TurnEnd } from './outcome.ts';
import type { Permissions } from './permissions.ts';
import { messageContent, promptContent } from './prompt-content.ts';
import { type Patience, type PreviewSink, Recorder } from './recorder.ts';
import { exhausted, type RetryPolicy, retryDelay } from './retry.ts';
import type { RunTally } from './run-tally.ts';
import { beginRunTrace, type RunTrace } from './run-trace.ts';
import { type FinalEnd, type StopCause, stoppedEnd } from './stopped-end.ts';
import { toolNamer } from './tool-log.ts';

export interface RunDeps extends Patience {
  readonly store: Store;
  readonly log: Logger;
  readonly live: LiveSandboxes;
  readonly catalog: HarnessCatalog;
  readonly providers: ReadonlySet<Provider>;
  /** Those of one tenant; left out, `providers` for all. */
  readonly providersOf?: ((tenantId: string) => Promise<ReadonlySet<Provider>>) | undefined;
  readonly publishPreview: PreviewSink;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  /** No other node uses the store, so none takes over while it cannot be reached. */
  readonly isSoleNode: boolean;
  readonly retry: RetryPolicy;
  readonly turnTimeoutMs: number;
  /** A turn that waits for a person this long gives its sandbox up. */
  readonly idleMs: number;
  readonly stages?: StageLog | undefined;
  readonly tracer?: Tracer | undefined;
  readonly tally?: RunTally | undefined;
  /** How long a question to a person stays open; undefined for without end. */
  readonly approvalTimeoutMs?: number | undefined;
  readonly tell?: ((entry: AuditEntry) => void) | undefined;
  /** Hands over what is attached to messages. */
  readonly attach?: Attach | undefined;
  /** Keeps the workspace as the turn leaves it, where that is wanted. Never throws. */
  readonly keepWorkspace?: ((session: SessionRow) => Promise<void>) | undefined;
}

/** How long an agent may take to honour a cancel before its sandbox is removed: a stop is felt within a second. */
const CANCEL_GRACE_MS = 700;
const EXIT_REPORT_MS = 5000;

/** One attempt at a turn, under its lease. It begins when it is made. */
export class TurnRun {
  readonly sessionId: string;
  /** Resolves when nothing of the attempt runs any more; never rejects. */
  readonly done: Promise<void>;
  private readonly deps: RunDeps;
  private readonly leased: LeasedTurn;
  readonly token: RunToken;
  private readonly recorder: Recorder;
  private readonly stop = new AbortController();
  private cause: StopCause | undefined;
  private retryInMs: number | undefined;
  private isPrompted = false;
  private prompted: OpenSandbox | undefined;
  private steering: Promise<void> = Promise.resolve();
  private readonly asksBeforeTools: boolean;
  /** Until when the lease certainly holds, by the monotonic clock. */
  private leaseEnds: number;
  private permissions: Permissions | undefined;
  /** What this turn had to wait for. */
  private readonly stages: Stages = {};
  private readonly trace: RunTrace;
  private end: FinalEnd | undefined;
  private cancelTimeout: () => void = () => undefined;
  private cancelIdle: () => void = () => undefined;

  constructor(deps: RunDeps, leased: LeasedTurn) {
    const { turn, session } = leased;
    this.deps = deps;
    this.leased = leased;
    this.sessionId = session.id;
    this.leaseEnds = deps.clock.monotonic() + deps.leaseMs;
    this.token = { turnId: turn.id, attempt: turn.attempt };
    const harness = deps.catalog.find(typeof session.agent.harness === 'string' ? session.agent.harness : deps.catalog.defaultId);
    this.asksBeforeTools = harness?.asksBeforeTools ?? false;
    this.recorder = new Recorder(
      {
        store: deps.store,
        clock: deps.clock,
        giveUp: deps.giveUp,
        publishPreview: deps.publishPreview,
        nameTool: toolNamer(harness, session.agent),
      },
      { ...this.token, sessionId: session.id },
    );
    // Of a turn that is taken up again, the time since it was made is not one of waiting.
    if (turn.attempt === 1) this.noteStage('queue', deps.clock.now() - turn.createdAt);
    // Asked for before this attempt began.
    if (turn.cancelRequested) this.halt('interrupt');
    this.trace = beginRunTrace(deps, leased);
    this.done = withWork(this.trace.work, () => this.run());
  }

  isWaiting(): boolean {
    return this.permissions?.isWaiting() ?? false;
  }

  /** After `done`: how long until the turn is tried again; undefined when it is not put off. */
  retriesIn(): number | undefined {
    return this.retryInMs;
  }

  /** The user wants it to stop. */
  interrupt(): void {
    this.halt('interrupt');
  }

  /** Somebody may have asked it to stop; the store knows. */
  askWhetherToStop(): void {
    void this.heartbeat();
  }

  /** The turn asks about its budget: as with a tool, its sandbox waits for so long only. */
  asked(): void {
    this.startIdle();
    this.confirmed();
  }

  /** An approval of the session was decided. */
  confirmed(): void {
    // The time a person took to answer is not the turn's.
    this.startTimeout();
    this.permissions?.refresh().catch((error: unknown) => {
      if (isPlatformError(error, 'lease_lost')) this.halt('lease_lost');
      else this.deps.log.error({ err: error, ...this.token }, 'an answer could not be passed on');
    });
  }

  /** A message of the session was committed while this turn runs: the agent gets it now, when its policy says so and it can. */
  followUp(): void {
    if (this.leased.session.agent.follow_up !== 'steer') return;
    this.steering = this.steering
      .then(() => this.takeFollowUps())
      .catch((error: unknown) =>
        this.deps.log.warn({ err: error, ...this.token }, 'a message was not handed to the running turn; it waits for its own'),
      );
  }

  /** Gives the sandbox up while the turn waits for an approval; it goes on in another one later. */
  park(): void {
    this.halt('park');
  }

  /** The server stops: hands the turn back when nothing is lost by it, else ends it as interrupted. */
  handBack(): void {
    this.halt(this.isWaiting() ? 'park' : 'hand_back');
  }

  private halt(cause: StopCause): void {
    if (this.cause !== undefined) return;
    this.cause = cause;
    if (cause === 'lease_lost') this.deps.tally?.lease('lost');
    // Whoever runs the turn next passes the answers on; here they come too late, and the sandbox goes.
    if (cause === 'park' || cause === 'lease_lost') this.permissions?.abandon();
    this.stop.abort(new PlatformError('bug', { detail: `The run was stopped: ${cause}.` }));
  }

  private async run(): Promise<void> {
    const { deps } = this;
    this.startTimeout();
    const cancelHeartbeat = deps.clock.every(deps.heartbeatMs, () => void this.heartbeat());
    try {
      await this.settle(await this.attempt());
    } catch (error) {
      if (isPlatformError(error, 'lease_lost')) deps.log.warn(this.token, 'the turn was taken over by another worker');
      else deps.log.error({ err: error, ...this.token }, 'the turn could not be settled');
      await deps.live.discard(this.sessionId);
    } finally {
      this.cancelTimeout();
      this.cancelIdle();
      cancelHeartbeat();
      this.trace.end(this.end);
    }
  }

  private startTimeout(): void {
    this.cancelTimeout();
    this.cancelTimeout = this.deps.clock.after(this.deps.turnTimeoutMs, () => this.halt(this.isWaiting() ? 'park' : 'timeout'));
  }

  private startIdle(): void {
    this.cancelIdle();
    this.cancelIdle = this.deps.clock.after(this.deps.idleMs, () => {
      if (this.isWaiting()) this.park();
    });
  }

  private async heartbeat(): Promise<void> {
    const { deps } = this;
    const began = deps.clock.monotonic();
    try {
      const { cancelRequested } = await deps.store.turns.heartbeat({ ...this.token, leaseMs: deps.leaseMs });
      this.leaseEnds = began + deps.leaseMs;
      deps.tally?.lease('renewed');
      if (cancelRequested) this.halt('interrupt');
      if (!deps.isSoleNode) await this.lookForNews();
    } catch (error) {
      const isOver = !deps.isSoleNode && deps.clock.monotonic() >= this.leaseEnds;
      if (isOver || isPlatformError(error, 'lease_lost')) this.halt('lease_lost');
      else deps.log.warn({ err: error, ...this.token }, 'heartbeat failed');
    }
  }

  /** What other servers have committed for this turn and whose notice was lost. */
  private async lookForNews(): Promise<void> {
    if (this.isWaiting()) await this.permissions?.refresh();
    this.followUp();
  }

  /** Does the work; answers how it ended. Throws only what cannot be told as an end. */
  private async attempt(): Promise<TurnEnd> {
    const { deps, leased, recorder } = this;
    const { session } = leased;
    let sandbox: OpenSandbox | undefined;
    try {
      const providers = (await deps.providersOf?.(session.tenantId)) ?? deps.providers;
      const { harness, options } = resolveAgent(session.agent, deps.catalog, providers);
      // Elsewhere the conversation has gone on without the sandbox that may have been left here.
      if (!leased.isHere) await deps.live.discard(session.id);
      this.stop.signal.throwIfAborted();
      const request = { session, harness, options, signal: this.stop.signal, stages: this.stages };
      sandbox = await this.trace.acquire(this.stages, () => deps.live.acquire(request));
      crashPoint('run.after_sandbox');
      const approvals = await openApprovals(deps.store, leased);
      const { store, clock, approvalTimeoutMs: timeoutMs, tell } = deps;
      this.permissions = await openPermissions({ store, clock, recorder, timeoutMs, tell }, leased, {
        tools: options.tools,
        earlier: approvals,
      });
      sandbox.observe({ ...this.trace.observe(recorder.observer), turn: { id: this.token.turnId, park: () => this.park() } });
      return await this.prompt(sandbox, this.permissions, approvals);
    } catch (error) {
      if (isPlatformError(error, 'lease_lost')) throw error;
      return this.endOfFailure(error, sandbox);
    } finally {
      sandbox?.observe(undefined);
    }
  }

  private async prompt(sandbox: OpenSandbox, permissions: Permissions, approvals: readonly ApprovalRow[]): Promise<TurnEnd> {
    const { recorder, stop } = this;
    const content = await promptContent(this.deps, { ...this.leased, approvals }, sandbox);
    this.isPrompted = true;
    const { harnessSessionId } = sandbox;
    const isNew = harnessSessionId !== this.leased.session.harnessSessionId;
    await recorder.append([], { isPrompted: true, ...(isNew && { harnessSessionId }) });
    stop.signal.throwIfAborted();
    const began = this.deps.clock.monotonic();
    const asked = {
      sessionId: sandbox.harnessSessionId,
      content,
      onUpdate: (update) => {
        recorder.onUpdate(update);
        this.trace.onUpdate(update, recorder.toolLog.nameOf);
        if (this.stages.first_token === undefined && recorder.hasBegun())
          this.noteStage('first_token', this.deps.clock.monotonic() - began);
      },
      onPermission: (request) => {
        this.startIdle();
        return permissions.decide(request);
      },
    } satisfies Parameters<OpenSandbox['agent']['prompt']>[0];
    const prompt = this.trace.prompt(() => sandbox.agent.prompt(asked));
    this.prompted = sandbox;
    // What came between the lease and the prompt.
    this.followUp();
    const onStop = () => void this.cancelPrompt(sandbox, permissions, prompt);
    stop.signal.addEventListener('abort', onStop, { once: true });
    try {
      const { stopReason } = await prompt;
      this.prompted = undefined;
      await this.steering;
      if (this.cause !== undefined) return { type: 'stopped' };
      const refusal = recorder.lastModelFailure();
      // Some agents say what they were refused as if it were an answer.
      if (refusal?.code === 'budget_reached')
        return { type: 'finished', outcome: 'failed', stopReason: null, problem: { code: refusal.code, message: refusal.message } };
      return { type: 'finished', outcome: stopReason === 'cancelled' ? 'cancelled' : 'completed', stopReason, problem: null };
    } finally {
      this.prompted = undefined;
      stop.signal.removeEventListener('abort', onStop);
    }
  }

  private noteStage(stage: 'queue' | 'first_token', ms: number): void {
    const whole = Math.max(0, Math.round(ms));
    this.stages[stage] = whole;
    this.deps.stages?.observe(stage, whole);
  }

  private async takeFollowUps(): Promise<void> {
    const { store } = this.deps;
    for (;;) {
      const sandbox = this.prompted;
      if (sandbox === undefined || !sandbox.agent.canSteer || !this.asksBeforeTools || this.cause !== undefined) return;
      const message = await store.turns.steer(this.token);
      if (message === undefined) return;
      const content = await messageContent(this.deps, this.leased.session, message, sandbox);
      if (await sandbox.agent.steer({ sessionId: sandbox.harnessSessionId, content })) continue;
      return store.turns.unsteer({ ...this.token, eventId: message.id });
    }
  }

  /** Stops the model at once, asks the agent to stop, and removes its sandbox when it does not. */
  private async cancelPrompt(sandbox: OpenSandbox, permissions: Permissions, prompt: Promise<unknown>): Promise<void> {
    const { live, clock } = this.deps;
    if (this.cause === 'park' || this.cause === 'lease_lost') return live.discard(this.sessionId);
    permissions.cancel();
    sandbox.abortModelCalls();
    // An agent that is gone cannot be asked; its prompt ends all the same.
    await sandbox.agent.cancel(sandbox.harnessSessionId).catch(() => undefined);
    const settled = prompt.then(
      () => true,
      () => true,
    );
    const late = delay(clock, CANCEL_GRACE_MS).then(() => false);
    if (!(await Promise.race([settled, late]))) await live.discard(this.sessionId);
  }

  private async endOfFailure(error: unknown, sandbox: OpenSandbox | undefined): Promise<TurnEnd> {
    const { deps, recorder } = this;
    if (this.cause !== undefined) return { type: 'stopped' };
    const exit = isPlatformError(error, 'sandbox_exited') && sandbox !== undefined ? await this.exitOf(sandbox) : undefined;
    const problem = describeFailure(sandbox?.verdict ?? exit ?? error, recorder.lastModelFailure());
    if (problem.code === 'bug') deps.log.error({ err: error, ...this.token }, 'the turn failed for a reason of our own');
    const { retries } = this.leased.turn;
    const retryInMs = this.hasDoneNothing() ? retryDelay(deps.retry, problem, retries) : undefined;
    if (retryInMs !== undefined && problem.code !== 'capacity_exhausted') {
      recorder.dropOpen();
      await recorder.flush();
      return { type: 'retry', problem, inMs: retryInMs };
    }
    await recorder.flush(error instanceof Error ? { dropText: error.message } : {});
    if (problem.code === 'capacity_exhausted') return { type: 'requeue' };
    const outcome = problem.code === 'sandbox_exited' && sandbox !== undefined ? 'interrupted' : 'failed';
    return { type: 'finished', outcome, stopReason: null, problem: exhausted(problem, retries) };
  }

  /** What an agent that asks first has done is in the log; of another it is not known once it has the prompt. */
  private hasDoneNothing(): boolean {
    if (this.leased.turn.isContinuation || this.recorder.hasOutput()) return false;
    return !this.isPrompted || this.asksBeforeTools;
  }

  private async exitOf(sandbox: OpenSandbox): Promise<PlatformError | undefined> {
    const report = await Promise.race([sandbox.exited, delay(this.deps.clock, EXIT_REPORT_MS).then(() => undefined)]);
    if (report !== undefined) return exitProblem(report, sandbox.diagnostics());
    await this.deps.live.discard(this.sessionId);
    return undefined;
  }

  /** Writes the end of the attempt, and only then lets the sandbox go: the next turn finds the log complete. */
  private async settle(end: TurnEnd): Promise<void> {
    const { live, store, clock, giveUp } = this.deps;
    const context = { store, clock, giveUp, leased: this.leased, recorder: this.recorder, stages: this.stages };
    const final = end.type === 'stopped' ? this.stoppedEnd() : end;
    this.end = final;
    if (final.type === 'parked') await parkTurn(context);
    if (final.type !== 'finished') await live.discard(this.sessionId);
    if (final.type === 'requeue') await requeueTurn(context);
    if (final.type === 'retry') {
      await retryTurn(context, final);
      this.retryInMs = final.inMs;
    }
    if (final.type !== 'finished') return;
    await this.steering;
    // Before the outcome: the next turn may begin with it.
    await this.deps.keepWorkspace?.(this.leased.session);
    await this.trace.outcome(() => finishTurn(context, final));
    this.deps.tally?.ended(final.outcome, final.problem?.code);
    live.release(this.sessionId);
  }

  private stoppedEnd(): FinalEnd {
    const { leased, cause, recorder, deps } = this;
    return stoppedEnd(cause, { leased, hasToolCalls: !recorder.toolLog.isEmpty(), turnTimeoutMs: deps.turnTimeoutMs });
  }
}
