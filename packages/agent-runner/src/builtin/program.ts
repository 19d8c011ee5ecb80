import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { ndJsonStream } from '@agentclientprotocol/sdk';
import { claimForwarder, readEnvironment } from '../environment.ts';
import { startForwarder } from '../forwarder/forwarder.ts';
import { createBuiltinAgent } from './agent.ts';
import { createGatewayFetch } from './gateway-fetch.ts';
import { createTools } from './tools/catalog.ts';
import { createProcessGroups } from './tools/process-groups.ts';

/** How long a turn has to write down its last words when the host has gone. */
const FAREWELL_MS = 50;

/** Runs the agent over stdin and stdout until stdin ends. `entryUrl` is this program, for its worker threads. */
export function runProgram(entryUrl: URL): void {
  // stdout belongs to the protocol; whatever a library prints goes where diagnostics go.
  globalThis.AI_SDK_LOG_WARNINGS = false;
  console.log = console.info = console.debug = console.error;

  const { gatewayPort, gatewaySocket, home } = readEnvironment();
  // The agent itself talks to the socket; the port is for its commands, and no reason to wait or to fail.
  if (claimForwarder())
    startForwarder({ port: gatewayPort, socketPath: gatewaySocket }).catch((error: unknown) => console.error('forwarder:', error));

  const groups = createProcessGroups();
  const agent = createBuiltinAgent({
    transcriptDirectory: path.join(home, '.cloister', 'sessions'),
    access: { baseUrl: `http://127.0.0.1:${gatewayPort}`, fetch: createGatewayFetch(gatewaySocket) },
    tools: createTools(entryUrl),
    groups,
  });

  let isLeaving = false;
  const leave = () => {
    if (isLeaving) return;
    isLeaving = true;
    setTimeout(exit, FAREWELL_MS);
    void agent.close().then(exit, exit);
  };
  const exit = () => {
    groups.killAll();
    process.exit(0);
  };
  process.stdin.once('end', leave).once('error', leave);
  process.stdout.once('error', leave);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, leave);

  const connection = agent.app.connect(ndJsonStream(Writable.toWeb(process.stdout), Readable.toWeb(process.stdin)));
  void connection.closed.then(leave, leave);
}
