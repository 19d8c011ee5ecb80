// The server as the soak starts it: the product's own parts, and two things beside them.
//   SIGUSR2                       collects garbage and writes the memory in use to CLOISTER_SOAK_MEMORY
//   CLOISTER_SOAK_LEAK=kind,…     leaks with each message, which the soak must find
// The product's entry point knows none of these.
import { renameSync, writeFileSync } from 'node:fs';
import v8 from 'node:v8';
import vm from 'node:vm';
import { loadConfig } from '../../packages/server/src/config.ts';
import { startServer } from '../../packages/server/src/main.ts';
import { stopRequested } from '../support/stop-signs.ts';
import { leaking } from './leaks.ts';

const { CLOISTER_SOAK_MEMORY: memoryFile, CLOISTER_SOAK_LEAK: leak } = process.env;

v8.setFlagsFromString('--expose-gc');
const collect: unknown = vm.runInNewContext('gc');

process.on('SIGUSR2', () => {
  if (typeof collect !== 'function' || memoryFile === undefined) return;
  // What the first frees may free more.
  collect();
  collect();
  writeFileSync(`${memoryFile}.new`, JSON.stringify(process.memoryUsage()));
  renameSync(`${memoryFile}.new`, memoryFile);
});
const stopped = stopRequested();
const config = loadConfig();
const server = await startServer(config, leak === undefined ? {} : { wrapStore: leaking(leak.split(','), config.dataDir) });
await stopped;
await server.stop();
// What was leaked must not keep it alive.
process.exit(0);
