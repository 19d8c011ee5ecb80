import type { AgentCreate } from '@cloister/api';
import type { AdapterSettings } from '../../../config.ts';

type Settings = AdapterSettings['agentHttp'];
type Tools = NonNullable<AgentCreate['tools']>;
type ToolName = NonNullable<Extract<Tools[number], { type: 'agent_toolset_20260401' }>['configs']>[number]['name'];

/** Their names of the tools, by ours. */
const THEIRS: Readonly<Record<ToolName, string>> = {
  bash: 'Bash',
  read: 'Read',
  write: 'Write',
  edit: 'Edit',
  glob: 'Glob',
  grep: 'Grep',
  web_fetch: 'WebFetch',
  web_search: 'WebSearch',
};
const OURS = new Map<string, ToolName>([
  ...Object.entries(THEIRS).map(([ours, theirs]): [string, ToolName] => [theirs, ours as ToolName]), // a key of the table
  ['MultiEdit', 'edit'],
]);

/** What may be used without being listed, by mode: where nobody can be asked, everything else is refused. */
const BY_MODE: Readonly<Record<Settings['permissionMode'], readonly ToolName[] | 'all'>> = {
  bypassPermissions: 'all',
  acceptEdits: ['read', 'glob', 'grep', 'write', 'edit'],
  default: ['read', 'glob', 'grep'],
  dontAsk: ['read', 'glob', 'grep'],
  plan: ['read', 'glob', 'grep'],
};
/** What a plan may never do, whatever is listed. */
const CHANGING: ReadonlySet<ToolName> = new Set(['bash', 'write', 'edit']);

export function toTheirTool(name: string): string {
  return Object.hasOwn(THEIRS, name) ? THEIRS[name as ToolName] : name; // a key of the table
}

/** The tools of an agent, as their settings say. Listing one of a kind such as `Bash(git:*)` is no listing: it would allow more than it says. */
export function toTools({ permissionMode, allowedTools, disallowedTools, mcpServers }: Settings): Tools {
  const refused = new Set(disallowedTools);
  const base = BY_MODE[permissionMode];
  const isAllowed = (name: ToolName): boolean => {
    if (refused.has(THEIRS[name])) return false;
    if (base === 'all') return true;
    if (permissionMode === 'plan' && CHANGING.has(name)) return false;
    return base.includes(name) || allowedTools.some((one) => OURS.get(one) === name);
  };
  const names = [...new Set(OURS.values())];
  const policy = { type: 'always_allow' as const };
  return [
    {
      type: 'agent_toolset_20260401',
      default_config: { enabled: base === 'all', permission_policy: policy },
      configs: names.map((name) => ({ name, enabled: isAllowed(name), permission_policy: policy })),
    },
    ...mcpServers.map(({ name }) => ({
      type: 'mcp_toolset' as const,
      mcp_server_name: name,
      default_config: { enabled: isServerAllowed(name, { base, allowedTools, refused }), permission_policy: policy },
      configs: listedTools(name, { base, allowedTools, refused }).map(([tool, enabled]) => ({
        name: tool,
        enabled,
        permission_policy: policy,
      })),
    })),
  ];
}

interface Listing {
  readonly base: readonly ToolName[] | 'all';
  readonly allowedTools: readonly string[];
  readonly refused: ReadonlySet<string>;
}

function isServerAllowed(server: string, { base, allowedTools, refused }: Listing): boolean {
  return !refused.has(`mcp__${server}`) && (base === 'all' || allowedTools.includes(`mcp__${server}`));
}

/** Tools of the server that are listed by their own name. */
function listedTools(server: string, { allowedTools, refused }: Listing): readonly (readonly [tool: string, isEnabled: boolean])[] {
  const prefix = `mcp__${server}__`;
  const named = [...new Set([...allowedTools, ...refused])].filter((one) => one.startsWith(prefix) && one.length > prefix.length);
  return named.map((one) => [one.slice(prefix.length), !refused.has(one)]);
}
