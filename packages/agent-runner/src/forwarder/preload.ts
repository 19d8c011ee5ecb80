// `node --import forwarder.mjs agent.js`: the agent's own process forwards, and its code starts once the port listens.
import { isMainThread } from 'node:worker_threads';
import { claimForwarder, readEnvironment } from '../environment.ts';
import { startForwarder } from './forwarder.ts';

// Worker threads take over `--import` from their process, which listens already.
if (isMainThread && claimForwarder()) {
  const { gatewayPort, gatewaySocket } = readEnvironment();
  await startForwarder({ port: gatewayPort, socketPath: gatewaySocket });
}
