import type { Clock } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import { currentWork, type WorkContext, withWork } from '../base/work-context.ts';
import type { Provider } from '../core/model.ts';
import type { EgressGateway, GatewayConnection, ModelCallObserver } from '../egress/gateway.ts';
import { type AgentConnection, AgentFailure, connectAgent, type PromptPowers } from '../harness/acp/connection.ts';
import { type AgentOptions, type Harness, SANDBOX_WORKSPACE } from '../harness/harness.ts';
import type { Provisioned, Provisioner } from '../resources/provision.ts';
import type { ExitReport, RuntimeDriver, SandboxIo, SandboxMount, SandboxRef, SandboxSpec } from '../runtime/driver.ts';
import type { SessionRow } from '../store/store.ts';
import { ensureSessionDirectories, type SessionDirectories } from './directories.ts';
import type { Extras } from './extras.ts';
import { describeDeed, watchLoss } from './loss.ts';
import { createObserverRelay } from './observer-relay.ts';
import { ensureSocketDirectory, removeSocketDirectory } from './socket-directories.ts';
import { buildSpec } from './spec.ts';
import { createStageTimer, type StageLog, type Stages, type StageTimer } from './stages.ts';
import type { Starting } from './starting.ts';
import { createTail } from './tail.ts';
import { parseTemplate } from './template.ts';

export interface SandboxDeps {
  readonly driver: RuntimeDriver;
  readonly gateway: EgressGateway;
  readonly clock: Clock;
  readonly log: Logger;
  readonly installation: string;
  readonly nodeId: string;
  readonly dataDir: string;
  readonly startTimeoutMs: number;
  readonly imageFor: (variant: Harness['imageVariant']) => string;
  readonly stages?: StageLog | undefined;
  /** What environments ask for beyond the usual; without it they get none of that. */
  readonly extras?: Pick<Extras, 'resolve'> | undefined;
  /** What a sandbox gets beyond that: the skills of its agent, the files and the memory of its session. */
  readonly provide?: Provisioner['provide'] | undefined;
  /** Who is told of those that are not ready yet, so that they are looked after like the others. */
  readonly starting?: Pick<Starting, 'add'> | undefined;
  /** Makes the session's directories; without it they are plain ones. */
  readonly directoriesOf?: ((session: SandboxSession) => Promise<SessionDirectories>) | undefined;
}

/** What a sandbox has to know of its session; of one that is opened for the pool, the pool's own id stands for the session's. */
export type SandboxSession = Pick<SessionRow, 'id' | 'tenantId' | 'agentId' | 'environmentId' | 'environment' | 'harnessSessionId'> &
  Partial<Pick<SessionRow, 'resources'>>;

export interface OpenSandboxInput {
  readonly sandboxId: string;
  readonly session: SandboxSession;
  readonly harness: Harness;
  readonly options: AgentOptions;
  readonly signal: AbortSignal;
  /** Given for one that has no session yet: where its files lie until then. It reaches nothing before `assign`. */
  readonly ahead?: SessionDirectories | undefined;
}

/** A running sandbox with its agent ready for a prompt. */
export interface OpenSandbox {
  readonly sandboxId: string;
  readonly ref: SandboxRef;
  readonly agent: AgentConnection;
  readonly harnessSessionId: string;
  /** False when the agent began a new conversation although the session has history. */
  readonly isResumed: boolean;
  readonly exited: Promise<ExitReport>;
  /** It is of no use any more, for this reason. Harmless after its end. */
  lose(report: ExitReport): void;
  /** Milliseconds each stage of the start took. */
  readonly stages: Stages;
  /** The OCI runtime it asked for; left out, the engine's default. */
  readonly runtimeClass?: string | undefined;
  /** It is this session's from now on: only for one that was opened ahead of it. */
  assign(sessionId: string): Promise<void>;
  /** Who is told of model calls from now on; undefined tells nobody. */
  observe(observer: ModelCallObserver | undefined): void;
  abortModelCalls(): void;
  /** The last of what the agent wrote to stderr. */
  diagnostics(): string;
  /** Why the server itself ends it; what its turn is told. */
  verdict?: PlatformError | undefined;
  /** Ends the agent gently, then removes the sandbox. Repeated calls wait for the first. */
  close(): Promise<void>;
}

/**
 * Makes a sandbox for a session and opens the conversation in it. On any failure nothing is left behind.
 * Throws `sandbox_start_timeout` naming the stage, `image_missing`, `runtime_unreachable`, `sandbox_out_of_memory`, `harness_failed`.
 */
export async function openSandbox(deps: SandboxDeps, input: OpenSandboxInput): Promise<OpenSandbox> {
  const timer = createStageTimer('prepare', { clock: deps.clock, log: deps.stages });
  const undo: (() => Promise<unknown> | undefined)[] = [];
  const timeout = new AbortController();
  const done: (() => void)[] = [];
  const cancelTimer = deps.clock.after(deps.startTimeoutMs, () =>
    timeout.abort(
      new PlatformError('sandbox_start_timeout', {
        detail: `The sandbox was not ready after ${deps.startTimeoutMs / 1000} s; it was in the stage "${timer.current()}".`,
      }),
    ),
  );
  const signal = AbortSignal.any([input.signal, timeout.signal]);
  // It outlives the turn that it is opened for: what it writes to the log is of the turn that has it then.
  const session = input.ahead === undefined ? { session: input.session.id } : {};
  const work: WorkContext = { fields: { ...currentWork()?.fields, ...session, sandbox: input.sandboxId } };
  try {
    return await withWork(work, () =>
      assemble(deps, input, {
        work,
        timer,
        undo,
        signal,
        onCreated(ref) {
          const forget = deps.starting?.add(ref, (report) => timeout.abort(exitProblem(report, '')));
          if (forget !== undefined) done.push(forget);
        },
      }),
    );
  } catch (error) {
    for (const step of undo.reverse())
      await step()?.catch((cause: unknown) => deps.log.warn({ err: cause }, 'cleaning up after a failed start'));
    throw error;
  } finally {
    cancelTimer();
    for (const forget of done) forget();
  }
}

interface Assembly {
  readonly work: WorkContext;
  readonly timer: StageTimer;
  readonly undo: (() => Promise<unknown> | undefined)[];
  readonly signal: AbortSignal;
  readonly onCreated: (ref: SandboxRef) => void;
}

async function assemble(
  deps: SandboxDeps,
  input: OpenSandboxInput,
  { work, timer, undo, signal, onCreated }: Assembly,
): Promise<OpenSandbox> {
  const { session, sandboxId } = input;
  const observer = createObserverRelay();
  const socketDirectory = await ensureSocketDirectory(deps.dataDir, sandboxId, { installation: deps.installation, node: deps.nodeId });
  undo.push(() => removeSocketDirectory(deps.dataDir, sandboxId));
  const gateway = await deps.gateway.open({
    sandboxId,
    tenantId: session.tenantId,
    sessionId: input.ahead === undefined ? session.id : undefined,
    directory: socketDirectory,
    network: parseTemplate(session.environment).network,
    mcpServers: (input.options.mcpServers ?? []).filter((server) => server.type === 'url'),
    subject: { environmentId: session.environmentId, agentId: session.agentId },
    observer,
  });
  undo.push(() => gateway.close());
  const provided = await deps.provide?.(session, input.options);
  const spec = await sandboxSpec(deps, input, { socketDirectory, provided });
  timer.enter('image');
  await abortable(lookForImage(deps.driver, spec.image), signal);
  timer.enter('create');
  const ref = await abortable(deps.driver.create(spec, { signal }), signal);
  undo.push(() => deps.driver.remove(ref));
  onCreated(ref);
  timer.enter('attach');
  const io = await abortable(deps.driver.start(ref, { signal, onAttached: () => timer.enter('start') }), signal);
  timer.enter('ready');
  const diagnostics = createTail(io.stderr);
  const ready = await abortable(untilExit(io, diagnostics.text, openConversation(io, withProvisions(input, provided))), signal);
  timer.end();
  deps.log.debug({ sandbox: sandboxId, session: session.id, stages: timer.stages }, 'sandbox ready');
  return {
    sandboxId,
    ref,
    agent: ready.agent,
    harnessSessionId: ready.sessionId,
    isResumed: ready.isResumed,
    ...watchLoss({ exited: io.exited, closed: ready.agent.closed, clock: deps.clock }),
    stages: timer.stages,
    runtimeClass: spec.runtimeClass,
    assign(sessionId) {
      work.fields = { ...work.fields, session: sessionId };
      return gateway.assign(sessionId);
    },
    observe(next) {
      work.fields = { ...work.fields, turn: next?.turn?.id, attempt: undefined };
      if (next !== undefined) gateway.beginTurn();
      observer.use(next);
    },
    abortModelCalls: gateway.abortModelCalls,
    diagnostics: diagnostics.text,
    close: once(() => closeSandbox(deps, { ref, io, agent: ready.agent, gateway })),
  };
}

const seenImages = new WeakMap<RuntimeDriver, Set<string>>();

/** Once an image was seen it is not looked for again: whether it still is there, the creation tells. */
async function lookForImage(driver: RuntimeDriver, image: string): Promise<void> {
  const seen = seenImages.get(driver) ?? new Set();
  seenImages.set(driver, seen);
  if (!seen.has(image) && (await driver.hasImage(image))) seen.add(image);
}

async function openConversation(
  io: SandboxIo,
  { harness, options, session }: OpenSandboxInput,
): Promise<{ agent: AgentConnection; sessionId: string; isResumed: boolean }> {
  const connected = await connectAgent(io.stdin, io.stdout);
  const agent = { ...connected, powers: powersWith(connected.powers, options.provider) };
  const opened = await agent.openSession({
    cwd: SANDBOX_WORKSPACE,
    meta: harness.sessionMeta(options),
    mcpServers: options.mcpServers ?? [],
    harnessSessionId: session.harnessSessionId,
  });
  return { agent, ...opened };
}

/** A document is of use only where the model's interface has a place for it. */
function powersWith(powers: PromptPowers, provider: Provider): PromptPowers {
  return { ...powers, pdf: powers.pdf && ['anthropic', 'openai', 'google'].includes(provider) };
}

/** What the environment mounts and what the session is given have places of their own. */
function togetherWith(extra: readonly SandboxMount[], provided: readonly SandboxMount[]): readonly SandboxMount[] {
  for (const { path } of extra) {
    const other = provided.find((one) => path === one.path || path.startsWith(`${one.path}/`) || one.path.startsWith(`${path}/`));
    if (other === undefined) continue;
    const detail = `The environment mounts ${path}, where the session has ${other.path}; give the mount another target.`;
    throw new PlatformError('mount_refused', { detail });
  }
  return [...extra, ...provided];
}

function withProvisions(input: OpenSandboxInput, provided: Provisioned | undefined): OpenSandboxInput {
  return provided === undefined ? input : { ...input, options: { ...input.options, provisions: provided.provisions } };
}

async function sandboxSpec(
  deps: SandboxDeps,
  input: OpenSandboxInput,
  { socketDirectory, provided }: { readonly socketDirectory: string; readonly provided: Provisioned | undefined },
): Promise<SandboxSpec> {
  const { session, harness } = input;
  const extras = await deps.extras?.resolve(session);
  return buildSpec({
    ...extras,
    extraMounts: togetherWith(extras?.extraMounts ?? [], provided?.mounts ?? []),
    labels: {
      node: deps.nodeId,
      installation: deps.installation,
      tenant: session.tenantId,
      agent: session.agentId,
      session: session.id,
      sandbox: input.sandboxId,
      incarnation: newId('incarnation'),
    },
    environment: session.environment,
    image: deps.imageFor(harness.imageVariant),
    launch: harness.launch(input.options),
    directories: input.ahead ?? (await (deps.directoriesOf?.(session) ?? ensureSessionDirectories(deps.dataDir, session.id))),
    socketDirectory,
  });
}

interface Parts {
  readonly ref: SandboxRef;
  readonly io: SandboxIo;
  readonly agent: AgentConnection;
  readonly gateway: GatewayConnection;
}

const STOP_GRACE_MS = 2000;

async function closeSandbox(deps: SandboxDeps, parts: Parts): Promise<void> {
  parts.io.stdin.end();
  parts.agent.close();
  parts.gateway.abortModelCalls();
  const hasLeft = await Promise.race([
    parts.io.exited.then(() => true),
    new Promise<boolean>((resolve) => deps.clock.after(STOP_GRACE_MS, () => resolve(false))),
  ]);
  if (!hasLeft) deps.log.debug({ sandbox: parts.ref.sandbox }, 'agent did not leave by itself');
  try {
    await deps.driver.remove(parts.ref);
  } finally {
    await parts.gateway.close();
    await removeSocketDirectory(deps.dataDir, parts.ref.sandbox);
  }
}

/** Turns the end of the sandbox during its start into the reason for it. */
async function untilExit<T>(io: SandboxIo, diagnostics: () => string, work: Promise<T>): Promise<T> {
  const exit = io.exited.then((report) => Promise.reject(exitProblem(report, diagnostics())));
  try {
    return await Promise.race([work, exit]);
  } catch (error) {
    if (error instanceof AgentFailure)
      throw new PlatformError('harness_failed', { detail: `The agent refused to start: ${error.message}`, cause: error });
    // The pipe breaks a moment before the engine reports the exit, and only the report has the reason.
    if (isPlatformError(error, 'sandbox_exited')) await exit;
    throw error;
  } finally {
    exit.catch(() => undefined);
    work.catch(() => undefined);
  }
}

export function exitProblem(report: ExitReport, diagnostics: string): PlatformError {
  if (report.outside !== undefined) return new PlatformError('sandbox_exited', { detail: describeDeed(report.outside, report.signal) });
  if (report.isOutOfMemory) return new PlatformError('sandbox_out_of_memory');
  const how = report.signal === null ? `exit code ${report.exitCode}` : `signal ${report.signal}`;
  const lastLine = diagnostics.trim().split('\n').at(-1) ?? '';
  return new PlatformError('sandbox_exited', {
    detail: `The sandbox ended with ${how}${lastLine === '' ? '' : `: ${lastLine.slice(0, 300)}`}.`,
  });
}

/** Follows the work until the signal is aborted; the work itself goes on. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function once<T>(run: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= run();
    return result;
  };
}
