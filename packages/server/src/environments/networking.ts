import { type NetworkRule, type NetworkRuleParam, networkingSchema } from '@cloister/api';
import type { JsonObject, JsonValue } from '../base/json.ts';
import { isJsonObject } from '../base/json.ts';
import type { NetworkPolicy } from '../egress/gateway.ts';

interface LimitedParam {
  readonly allowed_hosts?: readonly string[] | null | undefined;
  readonly rules?: readonly NetworkRuleParam[] | null | undefined;
}

/** The lists of a policy with their defaults filled in. */
export function resolveLimited(param: LimitedParam): { allowed_hosts: string[]; rules: NetworkRule[] } {
  return {
    allowed_hosts: [...(param.allowed_hosts ?? [])],
    rules: (param.rules ?? []).map(({ host, methods, paths, inspect, credential }) => ({
      host,
      methods: methods ?? null,
      paths: paths ?? null,
      inspect: inspect ?? false,
      credential: credential ?? null,
    })),
  };
}

/** The policy in a definition; what cannot be read allows nothing. */
export function parseNetworking(networking: JsonValue | undefined): NetworkPolicy {
  if (!isJsonObject(networking)) return { allowedHosts: [] };
  const parsed = networkingSchema.safeParse({ allow_mcp_servers: false, allow_package_managers: false, ...networking });
  if (!parsed.success || parsed.data.type === 'none') return { allowedHosts: [] };
  if (parsed.data.type === 'unrestricted') return { allowedHosts: [], isUnrestricted: true };
  const rules = parsed.data.rules.map(({ host, methods, paths, inspect, credential }) => ({
    host,
    methods,
    paths,
    isInspected: inspect,
    credential,
  }));
  return { allowedHosts: parsed.data.allowed_hosts, rules, allowsMcpServers: parsed.data.allow_mcp_servers };
}

export function environmentPolicy(definition: JsonObject): NetworkPolicy {
  return parseNetworking(isJsonObject(definition.config) ? definition.config.networking : undefined);
}

/** Undefined for an agent that does not narrow what its environment allows. */
export function agentPolicy(definition: JsonObject): NetworkPolicy | undefined {
  return definition.networking === undefined || definition.networking === null ? undefined : parseNetworking(definition.networking);
}
