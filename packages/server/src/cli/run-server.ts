import { findAssets } from '../assets.ts';
import { systemClock } from '../base/clock.ts';
import { reopenLogFiles } from '../base/log-file.ts';
import { VERSION } from '../base/version.ts';
import { loadConfig } from '../config.ts';
import { type RunningServer, startServer } from '../main.ts';
import { prepareSandboxImages } from '../prepare-images.ts';
import { emphasize, printLine } from './output.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const REPEAT_MS = 1000;

/** Starts the server in the foreground and serves until it is told to stop; then drains and returns. */
export async function runServer(): Promise<void> {
  const config = loadConfig();
  const stopRequested = stopSignal();
  // A terminal that is closed sends the same signal, and means the end.
  if (!process.stderr.isTTY) process.on('SIGHUP', reopenLogFiles);
  await prepareSandboxImages({ config, assets: findAssets(), print: printLine });
  const server = await startServer(config);
  for (const line of banner(server)) printLine(line);
  const signal = await stopRequested;
  printLine(`${signal}: finishing what runs (up to ${config.drainMs / 1000} s); once more stops at once.`);
  // A terminal, a shell and npm may each pass the same signal on; only a later one is a second wish.
  const stopHasty = systemClock.after(REPEAT_MS, () => {
    for (const again of SIGNALS) process.once(again, () => process.exit(130));
  });
  await server.stop();
  stopHasty();
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) process.on(signal, () => resolve(signal));
  });
}

function banner(server: RunningServer): string[] {
  const { adminKey } = server;
  const key = adminKey.file === undefined ? 'CLOISTER_ADMIN_KEY' : `${adminKey.file}${adminKey.isNew ? ' (made just now)' : ''}`;
  return [
    '',
    `${emphasize('bold', 'Cloister')} ${VERSION} is ready at ${emphasize('bold', server.url)}`,
    `  dashboard  ${server.url}/dashboard`,
    `  API docs   ${server.url}/docs`,
    `  runtime    ${server.runtime}`,
    `  agent      ${server.harness}`,
    `  model      ${server.model}${server.isDemo ? " (a demo without intelligence: set ANTHROPIC_API_KEY, or another provider's key, for a real one)" : ''}`,
    `  admin key  ${key}`,
    '',
    'Try it in another terminal:  npx cloister agent -m "run uname -a"',
    'Ctrl-C stops it.',
  ];
}
