import { type AgentHttpSettings, agentHttpSettings } from './agent-http.ts';
import { type ClawHqSettings, clawHqSettings } from './clawhq.ts';
import { type NoclawSettings, noclawSettings } from './noclaw.ts';
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
}

export function adapterSettings(env: Environment): AdapterSettings {
  return {
    enabled: enabledAdapters(env),
    acpHttp: flag(env, 'ACP_HTTP'),
    noclaw: noclawSettings(env),
    clawhq: clawHqSettings(env),
    agentHttp: agentHttpSettings(env),
  };
}

/** Left out, all are on; `none` switches all off. */
export function enabledAdapters(env: Environment): ReadonlySet<AdapterName> {
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
