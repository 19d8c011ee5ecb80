import type { JsonObject } from '../base/json.ts';
import { toolRule } from '../core/tools.ts';
import { notesOf } from './briefing.ts';
import { type AgentOptions, type Harness, SANDBOX_GATEWAY_URL, SANDBOX_RUNNER, SANDBOX_SKILLS } from './harness.ts';

/** Claude Code's names of the published tools. */
const TOOL_NAMES: Readonly<Record<string, string>> = {
  Bash: 'bash',
  Read: 'read',
  Write: 'write',
  Edit: 'edit',
  Glob: 'glob',
  Grep: 'grep',
  WebFetch: 'web_fetch',
  WebSearch: 'web_search',
};

/** Tools that act and that we name so that the program asks before each of them; what is not named is its own bookkeeping. */
const ASKED_TOOLS = [...Object.keys(TOOL_NAMES), 'NotebookEdit', 'Skill'];

/** The provider's web tools need hosts that the gateway does not serve. */
const REMOTE_TOOLS = ['WebSearch'];

/** Where the agent is installed, in the image and, for a runtime without images, on the host. */
export const CLAUDE_DIRECTORY = '/opt/claude';
const ADAPTER = `${CLAUDE_DIRECTORY}/node_modules/@agentclientprotocol/claude-agent-acp/dist/index.js`;

/** The real Claude agent behind its ACP adapter, in the `claude` variant of the image. */
export const claudeHarness: Harness = {
  id: 'claude',
  imageVariant: 'claude',
  requiredProvider: 'anthropic',
  asksBeforeTools: true,
  launch: (options) => ({
    argv: ['node', '--import', `${SANDBOX_RUNNER}/forwarder.mjs`, ADAPTER],
    env: {
      ANTHROPIC_BASE_URL: `${SANDBOX_GATEWAY_URL}/anthropic`,
      ANTHROPIC_API_KEY: 'placeholder',
      ANTHROPIC_MODEL: options.model,
      ANTHROPIC_SMALL_FAST_MODEL: options.model,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      CLAUDE_CODE_MAX_RETRIES: '2',
      DISABLE_AUTOUPDATER: '1',
      DISABLE_TELEMETRY: '1',
      DISABLE_ERROR_REPORTING: '1',
    },
  }),
  sessionMeta: (options) => ({
    ...systemPromptOf(options),
    claudeCode: {
      options: {
        settingSources: [],
        permissionMode: 'default',
        settings: { permissions: { ask: [...ASKED_TOOLS, ...(options.mcpServers ?? []).map(({ name }) => `mcp__${name}`)] } },
        // Its own settings stay closed to it, so that nothing in its home widens what it may do.
        ...(options.skills?.length ? { plugins: [{ type: 'local', path: SANDBOX_SKILLS }] } : {}),
        disallowedTools: disallowedTools(options),
        ...(options.effort === null ? {} : { effort: options.effort }),
      },
    },
  }),
  toolName: (name) => TOOL_NAMES[name] ?? name,
};

function systemPromptOf(options: AgentOptions): JsonObject {
  const append = [options.system, notesOf(options)].filter((text) => text !== null).join('\n\n');
  return append === '' ? {} : { systemPrompt: { append } };
}

function disallowedTools(options: AgentOptions): string[] {
  const disabled = Object.entries(TOOL_NAMES).filter(([, name]) => !toolRule(options.tools, name).enabled);
  const ofServers = [...(options.tools.byServer ?? [])].flatMap(([server, { byName }]) =>
    [...byName].flatMap(([tool, { enabled }]) => (enabled ? [] : [`mcp__${server}__${tool}`])),
  );
  return [...new Set([...REMOTE_TOOLS, ...disabled.map(([name]) => name), ...ofServers])];
}
