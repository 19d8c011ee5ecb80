import type { JsonObject } from '../base/json.ts';
import { TOOLSET_TOOLS, type ToolRule, toolRule } from '../core/tools.ts';
import { briefingOf } from './briefing.ts';
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
      mcp: mcpRules(options),
      briefing: briefingOf(options),
    },
  }),
  toolName: (name) => name,
};

/** What each MCP server's tools may do; the answer to each call is decided outside. */
function mcpRules({ tools, mcpServers = [] }: AgentOptions): JsonObject {
  const ask = ({ enabled }: ToolRule) => ({ enabled, policy: 'ask' });
  return Object.fromEntries(
    mcpServers.map(({ name }): [string, JsonObject] => {
      const rules = tools.byServer?.get(name);
      const named = [...(rules?.byName ?? [])].map(([tool, rule]): [string, JsonObject] => [tool, ask(rule)]);
      return [name, { fallback: { enabled: rules?.fallback.enabled ?? false, policy: 'ask' }, tools: Object.fromEntries(named) }];
    }),
  );
}

/** The program asks for every call, whatever the policy: the answer is decided, and the call logged, outside. */
function agentToolRule(options: AgentOptions, name: string): { enabled: boolean; policy: string } {
  return { enabled: toolRule(options.tools, name).enabled, policy: 'ask' };
}
