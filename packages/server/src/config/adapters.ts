import { type AgentHttpSettings, agentHttpAliases, agentHttpSettings } from './agent-http.ts';
import { type ClawHqSettings, clawHqSettings } from './clawhq.ts';
import { type NoclawSettings, noclawNotes, noclawSettings } from './noclaw.ts';
import { type Environment, flag, invalid, words } from './values.ts';

/** The other systems' APIs that are served beside our own. */
export const ADAPTERS = ['noclaw', 'claude-agent-http', 'clawhq', 'openai'] as const;
export type AdapterName = (typeof ADAPTERS)[number];

export interface AdapterSettings {
  readonly enabled: ReadonlySet<AdapterName>;
  /** ACP over a WebSocket at `/acp`: its draft may still change. */
  readonly acpHttp: boolean;
  readonly noclaw: NoclawSettings;
  readonly clawhq: ClawHqSettings;
  readonly agentHttp: AgentHttpSettings;
  /** What their variables were taken as, and which mean nothing here; told at the start. */
  readonly notes: readonly string[];
}

/** The environment with the other systems' variables and files under our names; what is ours and set goes first. */
export function withAliases(env: Environment): Environment {
  return enabledAdapters(env).has('claude-agent-http') ? { ...env, ...agentHttpAliases(env).env } : env;
}

/** `given` is the environment as it came, without aliases. */
export function adapterSettings(env: Environment, given: Environment = env): AdapterSettings {
  const enabled = enabledAdapters(env);
  const notes = [
    ...(enabled.has('noclaw') ? noclawNotes(given) : []),
    ...(enabled.has('claude-agent-http') ? agentHttpAliases(given).notes : []),
  ];
  return {
    enabled,
    acpHttp: flag(env, 'ACP_HTTP'),
    noclaw: noclawSettings(env),
    clawhq: clawHqSettings(env),
    agentHttp: agentHttpSettings(env),
    notes,
  };
}

/** Left out, all are on; `none` switches all off. */
function enabledAdapters(env: Environment): ReadonlySet<AdapterName> {
  const given = words(env, 'ADAPTERS');
  const isNone = given.length === 1 && given[0] === 'none';
  const unknown = isNone ? undefined : given.find((name) => !isAdapter(name));
  if (unknown !== undefined) throw invalid('ADAPTERS', `"${unknown}" is none of ${ADAPTERS.join(', ')}, or none by itself`);
  const enabled = given.length === 0 ? ADAPTERS : given.filter(isAdapter);
  return new Set(enabled);
}

function isAdapter(name: string): name is AdapterName {
  return ADAPTERS.some((one) => one === name);
}
