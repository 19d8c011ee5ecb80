import type { AgentSkill, McpServerDefinition } from '@cloister/api';
import type { Provider } from '../core/model.ts';
import type { ToolRules } from '../core/tools.ts';
import type { JsonObject } from '../store/store.ts';

/**
 * The harness seam: what is particular about one agent program. All of them speak ACP v1 over the
 * sandbox's stdin and stdout, and what they can do is read from `initialize`, never from their name.
 */
export interface Harness {
  readonly id: string;
  /** Which variant of the sandbox image carries the program. */
  readonly imageVariant: 'default' | 'claude';
  /** The only provider the program can use; undefined when it can use any. */
  readonly requiredProvider: Provider | undefined;
  /**
   * True when the program asks for permission before each tool that can change anything. The event of a
   * call is then on disk before the call runs, so an interrupted turn without one may be run again.
   */
  readonly asksBeforeTools: boolean;
  /** How the program is started. `env` holds no secrets: it is readable inside. */
  launch(options: AgentOptions): { readonly argv: readonly string[]; readonly env: Readonly<Record<string, string>> };
  /** The `_meta` of session/new, session/load and session/resume. */
  sessionMeta(options: AgentOptions): JsonObject;
  /** The published toolset's name for a tool of the program; a tool that has none keeps its own. */
  toolName(name: string): string;
}

export interface AgentOptions {
  readonly provider: Provider;
  readonly model: string;
  readonly system: string | null;
  readonly tools: ToolRules;
  readonly effort: string | null;
  readonly mcpServers?: readonly McpServerDefinition[] | undefined;
  readonly skills?: readonly AgentSkill[] | undefined;
  /** Known once the sandbox is put together. */
  readonly provisions?: Provisions | undefined;
}

/** What a sandbox has beyond its program, as the agent is told of it. */
export interface Provisions {
  /** At `path` in the sandbox, which can only be read. */
  readonly skills: readonly { readonly name: string; readonly description: string; readonly path: string }[];
  /** Sentences about memory stores and files. */
  readonly notes: readonly string[];
}

/** Where the forwarder listens inside the sandbox, and the socket it leads to. */
export const SANDBOX_GATEWAY_PORT = 8787;
export const SANDBOX_GATEWAY_DIRECTORY = '/run/cloister';
export const SANDBOX_GATEWAY_URL = `http://127.0.0.1:${SANDBOX_GATEWAY_PORT}`;
export const SANDBOX_WORKSPACE = '/workspace';
export const SANDBOX_HOME = '/home/agent';
/** Where a sandbox has the skills of its agent, its memory stores and the files that its session was given. */
export const SANDBOX_SKILLS = '/mnt/skills';
export const SANDBOX_MEMORY = '/mnt/memory';
export const SANDBOX_UPLOADS = '/mnt/session/uploads';
/** Where the image keeps the agent runner. */
export const SANDBOX_RUNNER = '/opt/cloister';
