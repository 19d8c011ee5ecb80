import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import * as acp from '@agentclientprotocol/sdk';

/** A home, a workspace and a gateway socket, as a sandbox has them; the socket leads to a model server. */
export interface TestSandbox extends AsyncDisposable {
  readonly workspace: string;
  readonly home: string;
  readonly socketPath: string;
}

export async function createTestSandbox(modelPort: number): Promise<TestSandbox> {
  const root = mkdtempSync(path.join(tmpdir(), 'agent-runner-'));
  const [workspace, home] = [mkdtempSync(path.join(root, 'workspace-')), mkdtempSync(path.join(root, 'home-'))];
  const socketPath = path.join(root, 'gateway.sock');
  const server = createServer((client) => {
    const upstream = connect(modelPort, '127.0.0.1');
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => void server.listen(socketPath, resolve));
  return {
    workspace,
    home,
    socketPath,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
      rmSync(root, { recursive: true, force: true });
    },
  };
}

export type PermissionHandler = (request: acp.RequestPermissionRequest) => Promise<acp.RequestPermissionResponse>;

export interface TestAgent extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly client: acp.ClientContext;
  readonly updates: acp.SessionUpdate[];
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** All text the agent said, in one piece. */
  text(): string;
  /** Waits until the updates satisfy the condition. */
  until(condition: (updates: readonly acp.SessionUpdate[]) => boolean, timeoutMs?: number): Promise<void>;
}

export interface StartOptions {
  readonly entry: string;
  readonly onPermission?: PermissionHandler;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the agent as a process of its own and shakes hands. */
export async function startTestAgent(sandbox: TestSandbox, { entry, onPermission, env }: StartOptions): Promise<TestAgent> {
  const child = spawn(process.execPath, [entry], {
    cwd: sandbox.workspace,
    env: { PATH: process.env.PATH, HOME: sandbox.home, CLOISTER_GATEWAY_SOCKET: sandbox.socketPath, CLOISTER_GATEWAY_PORT: '0', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const updates: acp.SessionUpdate[] = [];
  const watchers = new Set<() => void>();
  const app = acp
    .client()
    .onNotification('session/update', ({ params }) => {
      updates.push(params.update);
      for (const watch of watchers) watch();
    })
    .onRequest('session/request_permission', ({ params }) => onPermission?.(params) ?? { outcome: { outcome: 'cancelled' } });
  const connection = app.connect(acp.ndJsonStream(Writable.toWeb(child.stdin), Readable.toWeb(child.stdout)));
  await connection.agent.request('initialize', { protocolVersion: acp.PROTOCOL_VERSION, clientCapabilities: {} });
  return {
    child,
    client: connection.agent,
    updates,
    exited,
    text: () =>
      updates
        .map((update) => (update.sessionUpdate === 'agent_message_chunk' && update.content.type === 'text' ? update.content.text : ''))
        .join(''),
    until: (condition, timeoutMs = 10_000) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          watchers.delete(watch);
          reject(new Error(`not seen within ${timeoutMs} ms; updates: ${JSON.stringify(updates)}`));
        }, timeoutMs);
        const watch = () => {
          if (!condition(updates)) return;
          clearTimeout(timer);
          watchers.delete(watch);
          resolve();
        };
        watchers.add(watch);
        watch();
      }),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
