import type { BrokerPolicy } from './policy.ts';

/** For tests: what a broker lets through unless a test says otherwise. */
export function testPolicy(changes: Partial<BrokerPolicy> & Pick<BrokerPolicy, 'dataDir'>): BrokerPolicy {
  return {
    mountAllowlist: undefined,
    maxMemoryBytes: 2 * 1024 ** 3,
    maxCpus: 2,
    maxPids: 512,
    ports: { first: 19_000, last: 19_999 },
    bind: '127.0.0.1',
    runtimes: ['runc'],
    allowsBuild: false,
    ...changes,
  };
}
