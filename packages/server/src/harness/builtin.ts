import { TOOLSET_TOOLS, toolRule } from '../core/tools.ts';
import { type AgentOptions, type Harness, SANDBOX_RUNNER } from './harness.ts';

/** The built-in agent of `packages/agent-runner`: any provider, tools in the sandbox. */
export const builtinHarness: Harness = {
  id: 'builtin',
  imageVariant: 'default',
  requiredProvider: undefined,
  asksBeforeTools: true,
  launch: () => ({ argv: ['node', `${SANDBOX_RUNNER}/builtin.mjs`], env: {} }),
  sessionMeta: (options) => ({
    cloister: {
      provider: options.provider,
      model: options.model,
      system: options.system,
      tools: Object.fromEntries(TOOLSET_TOOLS.map((name) => [name, agentToolRule(options, name)])),
      ...(options.effort === null ? {} : { effort: options.effort }),
    },
  }),
  toolName: (name) => name,
};

/** The program asks for every call, whatever the policy: the answer is decided, and the call logged, outside. */
function agentToolRule(options: AgentOptions, name: string): { enabled: boolean; policy: string } {
  return { enabled: toolRule(options.tools, name).enabled, policy: 'ask' };
}
