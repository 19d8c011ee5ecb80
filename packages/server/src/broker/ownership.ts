import { asJsonObject, isJsonObject, type JsonObject } from '../base/json.ts';
import type { Engine } from '../runtime/docker/engine.ts';
import { INSTALLATION_LABEL } from '../runtime/docker/profile.ts';
import type { EngineAnswer } from '../runtime/docker/transport.ts';
import type { OwnInstallation } from './installation.ts';
import { refusal } from './policy.ts';

/** A thing of the engine's, as the engine itself tells of it. */
export type Looked =
  | { readonly type: 'own'; readonly id: string; readonly details: JsonObject }
  | { readonly type: 'foreign'; readonly details: JsonObject }
  | { readonly type: 'answer'; readonly answer: EngineAnswer };

export interface OwnershipDeps {
  readonly engine: Engine;
  readonly own: OwnInstallation;
}

/** Asks the engine whose container it is: by its label there, not by what the caller says or calls it. */
export async function lookAtContainer({ engine, own }: OwnershipDeps, reference: string, signal?: AbortSignal): Promise<Looked> {
  const answer = await engine.call({ method: 'GET', path: `/containers/${reference}/json`, signal });
  if (answer.status !== 200 || !isJsonObject(answer.body)) return { type: 'answer', answer };
  const { Id: id, Config: config } = answer.body;
  const installation = asJsonObject(asJsonObject(config).Labels)[INSTALLATION_LABEL];
  const isOwn = typeof id === 'string' && typeof installation === 'string' && own.is(installation);
  return isOwn ? { type: 'own', id, details: answer.body } : { type: 'foreign', details: answer.body };
}

export async function lookAtNetwork({ engine, own }: OwnershipDeps, name: string, signal?: AbortSignal): Promise<Looked> {
  const answer = await engine.call({ method: 'GET', path: `/networks/${name}`, signal });
  if (answer.status !== 200 || !isJsonObject(answer.body)) return { type: 'answer', answer };
  const { Id: id, Labels: labels } = answer.body;
  const installation = asJsonObject(labels)[INSTALLATION_LABEL];
  const isOwn = typeof id === 'string' && typeof installation === 'string' && own.is(installation);
  return isOwn ? { type: 'own', id, details: answer.body } : { type: 'foreign', details: answer.body };
}

const MAX_KNOWN = 10_000;

/** Full ids of own containers; neither an id nor its labels ever change. */
export interface KnownIds {
  readonly ids: Set<string>;
}

/** The container's full id, by which the call goes on, or the engine's answer that there is none. Refuses what is not ours. */
export async function requireOwn(
  deps: OwnershipDeps & { readonly known: KnownIds },
  reference: string,
): Promise<{ readonly id: string } | { readonly answer: EngineAnswer }> {
  const { ids } = deps.known;
  if (ids.has(reference)) return { id: reference };
  const looked = await lookAtContainer(deps, reference);
  if (looked.type === 'answer') return { answer: looked.answer };
  if (looked.type === 'foreign') throw refusal('the container does not belong to this installation');
  if (ids.size >= MAX_KNOWN) ids.clear();
  ids.add(looked.id);
  return { id: looked.id };
}
