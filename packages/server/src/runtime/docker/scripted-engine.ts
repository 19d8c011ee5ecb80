import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/log.ts';
import type { DockerContext } from './context.ts';
import { createEngine } from './engine.ts';
import { createHostPaths } from './host-paths.ts';
import { createSeccompFile } from './seccomp.ts';

export type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => void;

/** An engine that says exactly what a test wants, for what a healthy one never does: break off, hang, lie about its version. */
export interface ScriptedEngine extends AsyncDisposable {
  readonly endpoint: string;
  readonly docker: DockerContext;
  /** Method and path of each request, in order. */
  readonly requests: readonly string[];
}

export interface ScriptedEngineOptions {
  readonly apiVersion?: string;
  readonly server?: string;
  readonly deadlineMs?: number;
  readonly answer?: Answer;
}

export async function startScriptedEngine(options: ScriptedEngineOptions = {}): Promise<ScriptedEngine> {
  const folder = mkdtempSync(path.join(tmpdir(), 'cloister-engine-'));
  const socketPath = path.join(folder, 'engine.sock');
  const requests: string[] = [];
  const server = http.createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (request.url === '/_ping')
      return void response
        .writeHead(200, { 'api-version': options.apiVersion ?? '1.41', server: options.server ?? 'Docker/scripted' })
        .end('OK');
    if (options.answer !== undefined) options.answer(request, response);
    else answerJson(response, 404, { message: 'no such thing' });
  });
  await new Promise<void>((resolve) => void server.listen(socketPath, resolve));
  const endpoint = `unix://${socketPath}`;
  const engine = createEngine({ endpoint, clock: systemClock, deadlineMs: options.deadlineMs });
  const closing = new AbortController();
  return {
    endpoint,
    requests,
    docker: {
      engine,
      seccomp: createSeccompFile(),
      hostPaths: createHostPaths({ engine }),
      clock: systemClock,
      log: silentLogger,
      closing: closing.signal,
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      engine.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function answerJson(response: http.ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
