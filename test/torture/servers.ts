import { setTimeout as sleep } from 'node:timers/promises';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import type { ServerControl } from './server-control.ts';

/** One of the servers under torture. */
export interface TortureServer {
  readonly control: ServerControl;
  /** Its way to the database, where that is a server of its own. */
  readonly link: TcpProxy | undefined;
  /** Resolves once the newest start has answered; undefined when it was killed before. */
  starting: Promise<number | undefined>;
}

const RESTART_MS = 200;
/** What a supervisor does for a server that cannot start while its database is away, it does for so long. */
const SUPERVISED_MS = 30_000;

/** Starts it anew, and again when it gives up by itself. */
export function restart(server: TortureServer): void {
  server.starting = startSupervised(server.control);
  // Whoever waits for it hears of a failure; until then it is nobody's.
  server.starting.catch(() => undefined);
}

async function startSupervised(control: ServerControl): Promise<number | undefined> {
  const deadline = performance.now() + SUPERVISED_MS;
  for (;;) {
    try {
      return await control.start();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(RESTART_MS);
    }
  }
}
