import { Resolver } from 'node:dns/promises';
import type { Resolve } from './dial.ts';

const TIMEOUT_MS = 3000;
const TRIES = 2;

/**
 * Asks the name servers, and them alone. The host's own resolver holds one of the process's four threads for as
 * long as a name server keeps silent; for names that a tenant has chosen, that would be a way to stop the files
 * and look-ups of everybody else.
 */
export function createDnsResolve(servers?: readonly string[]): Resolve {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  if (servers !== undefined) resolver.setServers(servers);
  return async (host) => {
    const [v4, v6] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const found = [v4, v6].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (found.length === 0 && v4.status === 'rejected') throw v4.reason;
    return found;
  };
}
