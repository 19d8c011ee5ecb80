import { appendFile, open, readFile, rm, writeFile } from 'node:fs/promises';
import { Readable, Writable } from 'node:stream';
import * as acp from '@agentclientprotocol/sdk';
import { delay, systemClock } from '../../base/clock.ts';
import { newId } from '../../base/ids.ts';

/** What the fake agent needs of the process it runs as; a program of the fake runtime has it. */
export interface FakeAgentIo {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly signal: AbortSignal;
  readonly spec: { readonly mounts: readonly { readonly hostPath: string; readonly path: string }[] };
  outOfMemory(): never;
}

/**
 * An agent without a model, for the fake runtime: it speaks ACP, remembers its conversation in its home
 * like a real one, and does what directives in the message say. Otherwise it answers `echo: <message> | turns=<n>`.
 *
 * - `[[text words]]`: says exactly that; `[[slow N MS]]`: N pieces, MS apart
 * - `[[tool NAME {json}]]`: asks for a tool call and, when allowed, makes it
 * - `[[write NAME TEXT]]`: writes the file into its workspace, or where the mount is that an absolute name is in
 * - `[[remove NAME]]`: removes a file, found in the same way; `[[look NAME]]`: says what is in one
 * - `[[late exit]]`: dies after what `[[slow]]` says
 * - `[[flaky N]]`: answers an error until it has been asked N times in this conversation
 * - `[[fail]]`, `[[hang]]`, `[[exit]]`, `[[oom]]`: answers an error, never answers, dies, dies of memory
 */
export async function runFakeAgent(io: FakeAgentIo): Promise<number> {
  await using home = await hold(io, '/home/agent');
  await using workspace = await hold(io, '/workspace');
  return await speak(io, { home: home.path, workspace: workspace.path });
}

/** A directory as a mount has it: the directory itself, whatever name it gets later. */
async function hold({ spec }: FakeAgentIo, mounted: string): Promise<AsyncDisposable & { readonly path: string }> {
  const hostPath = spec.mounts.find(({ path }) => path === mounted)?.hostPath;
  if (hostPath === undefined) return { path: `/no mount of${mounted}`, [Symbol.asyncDispose]: async () => undefined };
  const handle = await open(hostPath, 'r');
  return { path: `/proc/self/fd/${handle.fd}`, [Symbol.asyncDispose]: () => handle.close() };
}

async function speak(io: FakeAgentIo, { home, workspace }: { readonly home: string; readonly workspace: string }): Promise<number> {
  const transcript = (sessionId: string): string => `${home}/${sessionId}.fake`;
  const turns = new Map<string, AbortController>();
  const steering = new Map<string, string[]>();
  const { promise: died, resolve: die } = Promise.withResolvers<'exit' | 'oom'>();

  const app = acp
    .agent()
    .onRequest('initialize', () => ({
      protocolVersion: acp.PROTOCOL_VERSION,
      agentCapabilities: { loadSession: false, sessionCapabilities: { resume: {} } },
      _meta: { steering: { supported: true } },
    }))
    // Only our own host calls it, with the blocks of a prompt.
    .onRequest(
      '_session/steering',
      (params) => params as acp.PromptRequest,
      ({ params }) => {
        const steered = steering.get(params.sessionId);
        if (steered === undefined) return { outcome: 'promptRequired' };
        steered.push(textOf(params.prompt));
        return { outcome: 'injected' };
      },
    )
    .onRequest('session/new', async () => {
      const sessionId = newId('session');
      await appendFile(transcript(sessionId), '');
      return { sessionId };
    })
    .onRequest('session/resume', async ({ params }) => {
      if ((await turnCount(transcript(params.sessionId))) === undefined) throw new acp.RequestError(-32002, 'Resource not found');
      return {};
    })
    .onNotification('session/cancel', ({ params }) => turns.get(params.sessionId)?.abort())
    .onRequest('session/prompt', async ({ params, client }) => {
      const stop = new AbortController();
      turns.set(params.sessionId, stop);
      // The message itself comes last; what is before it is only told, and its directives are none.
      const text = textOf(params.prompt);
      const steered: string[] = [];
      steering.set(params.sessionId, steered);
      await appendFile(transcript(params.sessionId), 'turn\n');
      const count = (await turnCount(transcript(params.sessionId))) ?? 0;
      const answered = await answer({
        client,
        sessionId: params.sessionId,
        text,
        count,
        signal: AbortSignal.any([stop.signal, io.signal]),
        die,
        steered,
        place: (name) => placeOf(io, workspace, name),
      });
      steering.delete(params.sessionId);
      return { stopReason: answered };
    });

  const connection = app.connect(acp.ndJsonStream(Writable.toWeb(io.stdout), Readable.toWeb(io.stdin)));
  const killed = new Promise<'killed'>((resolve) => io.signal.addEventListener('abort', () => resolve('killed'), { once: true }));
  const end = await Promise.race([connection.closed, killed, died]);
  connection.close();
  if (end === 'oom') io.outOfMemory();
  return end === 'exit' ? 1 : 0;
}

function placeOf({ spec }: FakeAgentIo, workspace: string, name: string): string {
  if (!name.startsWith('/')) return `${workspace}/${name}`;
  const mount = spec.mounts.find(({ path }) => name.startsWith(`${path}/`));
  return mount === undefined ? `/no mount of ${name}` : mount.hostPath + name.slice(mount.path.length);
}

function textOf(prompt: readonly acp.ContentBlock[]): string {
  return prompt.map((block) => (block.type === 'text' ? block.text : '')).at(-1) ?? '';
}

interface Answer {
  readonly client: acp.AgentContext;
  readonly sessionId: string;
  readonly text: string;
  readonly count: number;
  readonly signal: AbortSignal;
  readonly die: (how: 'exit' | 'oom') => void;
  /** What came in while the turn ran. */
  readonly steered: readonly string[];
  /** Where a file of the sandbox lies. */
  readonly place: (name: string) => string;
}

async function answer(input: Answer): Promise<acp.StopReason> {
  const { text, signal } = input;
  const say = (words: string) =>
    input.client.notify('session/update', {
      sessionId: input.sessionId,
      update: { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text: words } },
    });
  try {
    const flaky = /\[\[flaky (\d+)\]\]/.exec(text);
    if (flaky !== null && input.count < Number(flaky[1])) throw new acp.RequestError(-32603, 'the fake agent was told to fail at first');
    if (text.includes('[[fail]]')) throw new acp.RequestError(-32603, 'the fake agent was told to fail');
    if (text.includes('[[exit]]') || text.includes('[[oom]]')) {
      input.die(text.includes('[[oom]]') ? 'oom' : 'exit');
      await untilAborted(signal);
    }
    if (text.includes('[[hang]]')) await untilAborted(signal);
    const tool = /\[\[tool (\w+) (\{.*?\})\]\]/.exec(text);
    if (tool !== null && (await useTool(input, tool[1] ?? '', tool[2] ?? '{}')) === 'cancelled') return 'cancelled';
    const write = /\[\[write (\S+) (.*?)\]\]/.exec(text);
    if (write !== null) await writeFile(input.place(write[1] ?? ''), write[2] ?? '');
    const gone = /\[\[remove (\S+)\]\]/.exec(text);
    if (gone !== null) await rm(input.place(gone[1] ?? ''));
    const look = /\[\[look (\S+)\]\]/.exec(text);
    if (look !== null) await say(await readFile(input.place(look[1] ?? ''), 'utf8').catch(() => 'nothing there'));
    const slow = /\[\[slow (\d+) (\d+)\]\]/.exec(text);
    for (let piece = 0; piece < Number(slow?.[1] ?? 0); piece++) {
      await say(`piece${piece} `);
      await delay(systemClock, Number(slow?.[2] ?? 0), signal);
    }
    if (text.includes('[[late exit]]')) {
      input.die('exit');
      await untilAborted(signal);
    }
    const exact = /\[\[text (.*?)\]\]/s.exec(text);
    if (slow === null) await say(exact?.[1] ?? `echo: ${text} | turns=${input.count}`);
    if (input.steered.length > 0) await say(` and: ${input.steered.join(', ')}`);
    return 'end_turn';
  } catch (error) {
    if (signal.aborted) return 'cancelled';
    throw error;
  }
}

async function useTool({ client, sessionId }: Answer, name: string, json: string): Promise<'done' | 'cancelled'> {
  const toolCallId = newId('event');
  const rawInput: unknown = JSON.parse(json);
  await client.notify('session/update', {
    sessionId,
    update: { sessionUpdate: 'tool_call', toolCallId, title: name, name, status: 'pending', rawInput },
  });
  const { outcome } = await client.request('session/request_permission', {
    sessionId,
    toolCall: { toolCallId, name, rawInput },
    options: [
      { optionId: 'allow', name: 'Allow', kind: 'allow_once' },
      { optionId: 'reject', name: 'Reject', kind: 'reject_once' },
    ],
  });
  if (outcome.outcome === 'cancelled') return 'cancelled';
  const isAllowed = outcome.optionId === 'allow';
  await client.notify('session/update', {
    sessionId,
    update: {
      sessionUpdate: 'tool_call_update',
      toolCallId,
      status: isAllowed ? 'completed' : 'failed',
      rawOutput: isAllowed ? `ran ${name}` : 'denied',
    },
  });
  return 'done';
}

/** Undefined when the conversation is not known. */
async function turnCount(file: string): Promise<number | undefined> {
  try {
    return (await readFile(file, 'utf8')).split('\n').length - 1;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
