import { agentDefinitionSchema } from '@cloister/api';
import { PlatformError } from '../base/errors.ts';
import { asJsonObject, type JsonObject } from '../base/json.ts';
import { type Provider, resolveModel } from '../core/model.ts';
import { parseToolRules } from '../core/tools.ts';
import type { HarnessCatalog } from '../harness/catalog.ts';
import type { AgentOptions, Harness } from '../harness/harness.ts';

const parts = agentDefinitionSchema
  .pick({ mcp_servers: true, skills: true })
  .transform(({ mcp_servers, skills }) => ({ mcpServers: mcp_servers, skills }));

/** What a session's copy of its agent means on this installation today. Throws when a harness or provider has gone since. */
export function resolveAgent(
  agent: JsonObject,
  catalog: HarnessCatalog,
  providers: ReadonlySet<Provider>,
): { readonly harness: Harness; readonly options: AgentOptions } {
  const harness = catalog.require(typeof agent.harness === 'string' ? agent.harness : catalog.defaultId);
  const model = asJsonObject(agent.model);
  const id = typeof model.id === 'string' ? model.id : '';
  const choice = resolveModel(id, providers);
  if (choice === undefined) throw new PlatformError('model_unknown', { detail: `No provider here serves the model "${id}".` });
  const effort = typeof model.effort === 'string' ? model.effort : asJsonObject(model.effort).type;
  return {
    harness,
    options: {
      provider: choice.provider,
      model: choice.model,
      system: typeof agent.system === 'string' && agent.system !== '' ? agent.system : null,
      tools: parseToolRules(agent.tools),
      effort: typeof effort === 'string' ? effort : null,
      ...parts.parse(agent),
    },
  };
}
