import type { Harness } from '../harness.ts';

/** The name under which the fake runtime knows the fake agent. */
export const FAKE_AGENT_PROGRAM = 'fake-agent';

/** Drives the fake agent; offered only on the fake runtime. */
export const fakeHarness: Harness = {
  id: 'fake',
  imageVariant: 'default',
  requiredProvider: undefined,
  asksBeforeTools: true,
  launch: () => ({ argv: [FAKE_AGENT_PROGRAM], env: {} }),
  sessionMeta: () => ({}),
  toolName: (name) => name,
};
