import { isPlatformError, PlatformError } from '../../packages/server/src/base/errors.ts';
import { newId } from '../../packages/server/src/base/ids.ts';
import { type AgentConnection, AgentFailure, type PromptHandlers } from '../../packages/server/src/harness/acp/connection.ts';
import type { Harness } from '../../packages/server/src/harness/harness.ts';
import type { ExitReport } from '../../packages/server/src/runtime/driver.ts';
import type { OpenSandbox, OpenSandboxInput } from '../../packages/server/src/sandboxes/open-sandbox.ts';
import { isCalm, type Life, type World } from './world.ts';

const harness = (id: string, asksBeforeTools: boolean): Harness => ({
  id,
  imageVariant: 'default',
  requiredProvider: undefined,
  asksBeforeTools,
  launch: () => ({ argv: [], env: {} }),
  sessionMeta: () => ({}),
  toolName: (name) => name,
});

/** One that asks before each tool, and one that does as it likes. */
export const HARNESSES = [harness('asking', true), harness('bold', false)] as const;

const OPTIONS = [
  { optionId: 'yes', name: 'Yes', kind: 'allow_once' as const },
  { optionId: 'no', name: 'No', kind: 'reject_once' as const },
];
const KILLED: ExitReport = { exitCode: 137, signal: null, isOutOfMemory: false };

/** Opens a sandbox in which an agent works that never was: it takes virtual time, and fails, hangs and dies by chance. */
export function simulatedSandboxes(world: World, life: Life): (input: OpenSandboxInput) => Promise<OpenSandbox> {
  const { scheduler, random, history } = world;
  return async (input) => {
    await abortable(scheduler.pause(50 + random.whole(1500), life), input.signal);
    if (!isCalm(world) && random.isLucky(0.05)) throw new PlatformError('sandbox_start_failed');
    history.note(`${life.name} sandbox for ${input.session.id.slice(-4)}`);
    const gone = Promise.withResolvers<ExitReport>();
    const agent = createAgent(world, life, { asks: input.harness.asksBeforeTools, die: () => gone.resolve(KILLED), exited: gone.promise });
    let closing: Promise<void> | undefined;
    return {
      sandboxId: input.sandboxId,
      ref: { sandbox: input.sandboxId, incarnation: newId('incarnation'), handle: input.sandboxId },
      agent,
      harnessSessionId: input.session.harnessSessionId ?? `h-${input.session.id.slice(-4)}`,
      isResumed: input.session.harnessSessionId !== null,
      exited: gone.promise,
      stages: {},
      assign: async () => undefined,
      observe: () => undefined,
      abortModelCalls: () => undefined,
      diagnostics: () => '',
      lose: () => undefined,
      close() {
        closing ??= scheduler.pause(20 + random.whole(200), life);
        gone.resolve(KILLED);
        return closing;
      },
    };
  };
}

interface Body {
  readonly asks: boolean;
  readonly die: () => void;
  readonly exited: Promise<ExitReport>;
}

function createAgent(world: World, life: Life, body: Body): AgentConnection {
  const { scheduler, random } = world;
  const canSteer = random.isLucky(0.6);
  const willHonourCancel = random.isLucky(0.7);
  let tasks: Task[] | undefined;
  let isCancelled = false;
  const closed = body.exited.then(() => undefined);
  const failed = body.exited.then(() => Promise.reject(new PlatformError('sandbox_exited')));
  failed.catch(() => undefined);
  const toTasks = (content: readonly { readonly type: string; readonly text?: string }[]) =>
    tasksOf(content.at(-1)?.text ?? '', random.whole(3));

  async function work(handlers: PromptHandlers): Promise<'end_turn' | 'cancelled'> {
    for (;;) {
      await scheduler.pause(100 + random.whole(2500), life);
      if (isCancelled && willHonourCancel) return 'cancelled';
      const task = tasks?.shift();
      if (task === undefined) return 'end_turn';
      await misbehave(world, life, body, task);
      if (random.isLucky(0.7))
        handlers.onUpdate({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: `about ${task.message}` } });
      for (const command of task.commands) if (!isCancelled) await useTool(world, life, body, handlers, command);
    }
  }

  return {
    powers: { image: false, embeddedContext: false, pdf: false },
    canSteer,
    closed,
    openSession: () => Promise.reject(new PlatformError('bug')),
    async prompt({ content, ...handlers }) {
      isCancelled = false;
      tasks = toTasks(content);
      try {
        return { stopReason: await Promise.race([work(handlers), failed]) };
      } finally {
        tasks = undefined;
      }
    },
    async steer({ content }) {
      await scheduler.pause(random.whole(300), life);
      if (tasks === undefined || isCancelled) return false;
      tasks.push(...toTasks(content));
      return true;
    },
    async cancel() {
      isCancelled = true;
    },
    close: body.die,
  };
}

interface Task {
  readonly message: string;
  readonly commands: readonly string[];
}

/** What a message asks for: its own tools, or those that were approved before the agent's last sandbox went. */
function tasksOf(text: string, tools: number): Task[] {
  const approved = [...text.matchAll(/^- approved: \S+ (\{.*\})\. Make/gm)].map(([, json]) => commandOf(JSON.parse(json ?? '{}')));
  if (approved.length > 0) return [{ message: 'the approved', commands: approved }];
  if (!/^m\d+$/.test(text)) return [{ message: 'what was left', commands: [] }];
  return [{ message: text, commands: Array.from({ length: tools }, (_, index) => `${text}/${index}`) }];
}

function commandOf(input: unknown): string {
  return typeof input === 'object' && input !== null && 'command' in input && typeof input.command === 'string' ? input.command : '';
}

async function misbehave(world: World, life: Life, body: Body, task: Task): Promise<void> {
  const { random, scheduler, history } = world;
  const chance = random.upTo(1);
  if (isCalm(world) || chance > 0.2) return;
  history.note(`${life.name} agent misbehaves at ${task.message}`);
  if (chance < 0.1) throw new AgentFailure('Internal error: no luck', -32_603, undefined);
  if (chance < 0.15) return body.die();
  await scheduler.pause(10_000 + random.whole(300_000), life);
}

async function useTool(world: World, life: Life, body: Body, handlers: PromptHandlers, command: string): Promise<void> {
  const { scheduler, random, monitor } = world;
  const call = { toolCallId: newId('event'), title: 'bash', kind: 'execute' as const, rawInput: { command } };
  if (body.asks) {
    const answer = await handlers.onPermission({ sessionId: '', toolCall: call, options: OPTIONS });
    if (answer.type !== 'allow') return;
  }
  monitor.toolRan(life.name, command);
  if (!body.asks) handlers.onUpdate({ sessionUpdate: 'tool_call', ...call, status: 'in_progress' });
  await scheduler.pause(100 + random.whole(4000), life);
  handlers.onUpdate({ sessionUpdate: 'tool_call_update', toolCallId: call.toolCallId, status: 'completed', rawOutput: 'done' });
}

function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(isPlatformError(signal.reason) ? signal.reason : new Error('aborted', { cause: signal.reason }));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
