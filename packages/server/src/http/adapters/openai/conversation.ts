import { createHash } from 'node:crypto';
import { type Agent, eventParamSchema, type Session } from '@cloister/api';
import { isPlatformError, PlatformError } from '../../../base/errors.ts';
import { idOf } from '../../../base/ids.ts';
import { requireSupported, type SupportedEvent } from '../../../sessions/supported-events.ts';
import type { TurnAddress } from '../../../sessions/turns.ts';
import type { HttpDeps } from '../../context.ts';
import { agentByName, usualEnvironment } from '../choices.ts';
import { type Block, fingerprint, seeded, type Told } from './history.ts';
import { fromOpenAiId } from './ids.ts';

/** What of a request says which session goes on. */
export interface Asked {
  readonly tenantId: string;
  readonly model: string;
  readonly told: Told;
  readonly user: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly previousResponse?: string | undefined;
  readonly conversation?: string | undefined;
  /** Of the Idempotency-Key, with what the body was. */
  readonly repeat: { readonly key: string; readonly hash: string } | undefined;
}

export interface Accepted extends TurnAddress {
  readonly agent: Agent;
  /** The seq of the message. */
  readonly after: number;
}

interface Choice {
  readonly sessionId: string;
  readonly content: readonly Block[];
  readonly isNew: boolean;
}

const HISTORY = 'openai.history';
const REQUEST = 'openai.request';
/** In a session's metadata: which instructions of the client it has heard last. */
const HEARD = 'openai_instructions';

/** Finds or makes the session that a request goes on with, and gives it the message. */
export async function accept(deps: HttpDeps, asked: Asked): Promise<Accepted> {
  const { tenantId, repeat } = asked;
  const agent = await agentByName(deps, tenantId, asked.model, '/model');
  const before = repeat && (await deps.store.links.find({ tenantId, kind: REQUEST, name: `${repeat.key} ${repeat.hash}` }));
  if (before?.turnId) return acceptedTurn(deps, { tenantId, sessionId: before.sessionId, turnId: before.turnId }, agent);
  const { sessionId, content, isNew } = await choose(deps, asked, agent);
  const [event] = requireSupported([eventParamSchema.parse({ type: 'user.message', content })], '/events');
  const events: readonly SupportedEvent[] = event === undefined ? [] : [event];
  const { data } = await deps.sendEvents({ tenantId, sessionId, events, idempotencyKey: repeat?.key }).catch(async (error: unknown) => {
    // The caller was told that nothing was made.
    if (isNew) await deps.sessions.remove(tenantId, sessionId).catch(() => undefined);
    throw error;
  });
  const message = data[0];
  if (message?.turn_id === undefined || message.turn_id === null) throw new PlatformError('bug', { detail: 'A message has no turn.' });
  const turnId = message.turn_id;
  if (repeat !== undefined)
    await deps.store.links.claim({
      tenantId,
      kind: REQUEST,
      name: `${repeat.key} ${repeat.hash}`,
      sessionId,
      turnId,
      now: deps.clock.now(),
    });
  return { tenantId, sessionId, turnId, agent, after: message.seq };
}

async function acceptedTurn(deps: HttpDeps, turn: TurnAddress, agent: Agent): Promise<Accepted> {
  const { event_id: id } = await deps.turns.get(turn);
  const message = await deps.store.events.find({ tenantId: turn.tenantId, sessionId: turn.sessionId, id });
  return { ...turn, agent, after: message?.seq ?? 0 };
}

/** The rule of docs/openai.md. */
async function choose(deps: HttpDeps, asked: Asked, agent: Agent): Promise<Choice> {
  const { previousResponse, conversation, metadata, user } = asked;
  if (previousResponse !== undefined) return goOn(deps, asked, await afterResponse(deps, asked, previousResponse), agent);
  const session = conversation ?? metadata.session_id;
  if (session !== undefined) {
    const pointer = conversation === undefined ? '/metadata/session_id' : '/conversation';
    const id = fromOpenAiId('conversation', session) ?? (session.startsWith('ses_') ? session : undefined);
    if (id !== undefined) return goOn(deps, asked, await deps.sessions.get(asked.tenantId, id), agent, pointer);
    return byName(deps, asked, agent, { kind: 'openai.session', name: session });
  }
  if (user !== undefined) return byName(deps, asked, agent, { kind: 'openai.user', name: user });
  return byHistory(deps, asked, agent);
}

/** A response that something came after is no place to go on from: a session does not go back. */
async function afterResponse(deps: HttpDeps, { tenantId }: Asked, id: string): Promise<Session> {
  const missing = new PlatformError('turn_not_found', {
    detail: `There is no response "${id.slice(0, 80)}".`,
    fields: [{ pointer: '/previous_response_id', message: 'the id of a response' }],
  });
  const turn = await deps.store.turns.find({ tenantId, id: fromOpenAiId('response', id) ?? '' });
  if (turn === undefined) throw missing;
  if ((await newestTurn(deps, tenantId, turn.sessionId)) !== turn.id)
    throw new PlatformError('request_invalid', {
      detail: 'The response is not the last one of its conversation, and a session cannot go back to it.',
      fields: [{ pointer: '/previous_response_id', message: 'the last response of its conversation' }],
    });
  return deps.sessions.get(tenantId, turn.sessionId);
}

async function newestTurn(deps: HttpDeps, tenantId: string, sessionId: string): Promise<string | undefined> {
  return (await deps.turns.list(tenantId, { sessionId, limit: 1, order: 'desc' })).data[0]?.id;
}

async function goOn(deps: HttpDeps, asked: Asked, session: Session, agent: Agent, pointer = '/model'): Promise<Choice> {
  if (session.agent.id !== agent.id)
    throw new PlatformError('request_invalid', {
      detail: `The session is one of the agent ${session.agent.id}, and the request names ${agent.id}.`,
      fields: [{ pointer, message: 'a session of the agent that `model` names' }],
    });
  return { sessionId: session.id, isNew: false, content: await withInstructions(deps, asked, session) };
}

/** Clients send their instructions with every message; the session hears them when they change. */
async function withInstructions(deps: HttpDeps, { tenantId, told }: Asked, session: Session): Promise<readonly Block[]> {
  const heard = hashOf(told.system);
  if (told.system === '' || session.metadata[HEARD] === heard) return told.fresh;
  await deps.sessions.update(tenantId, session.id, { metadata: { [HEARD]: heard } });
  return [{ type: 'text', text: `Instructions of the caller from now on:\n\n${told.system}` }, ...told.fresh];
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

async function byName(deps: HttpDeps, asked: Asked, agent: Agent, link: { readonly kind: string; readonly name: string }): Promise<Choice> {
  const { tenantId } = asked;
  const key = { tenantId, kind: link.kind, name: `${agent.id} ${link.name}` };
  const found = await deps.store.links.find(key);
  const session = found && (await openSession(deps, tenantId, found.sessionId));
  if (session !== undefined) return goOn(deps, asked, session, agent);
  const made = await begin(deps, asked, agent);
  const claim = { ...key, sessionId: made.sessionId, turnId: null, now: deps.clock.now() };
  // One that is closed does not keep the name.
  if (found !== undefined) await deps.store.links.replace(claim);
  const winner = await deps.store.links.claim(claim);
  if (winner.sessionId === made.sessionId) return made;
  await deps.sessions.remove(tenantId, made.sessionId);
  return goOn(deps, asked, await deps.sessions.get(tenantId, winner.sessionId), agent);
}

/** Undefined when it is gone, or takes no more messages. */
async function openSession(deps: HttpDeps, tenantId: string, id: string): Promise<Session | undefined> {
  try {
    const session = await deps.sessions.get(tenantId, id);
    return session.archived_at === null && session.status !== 'terminated' ? session : undefined;
  } catch (error) {
    if (isPlatformError(error, 'session_not_found')) return undefined;
    throw error;
  }
}

/** A client that keeps the history itself goes on where the session that said it is, if nothing else came there since. */
async function byHistory(deps: HttpDeps, asked: Asked, agent: Agent): Promise<Choice> {
  const { tenantId, told } = asked;
  if (told.history.length > 0) {
    const link = await deps.store.links.find({ tenantId, kind: HISTORY, name: fingerprint(agent.id, told.system, told.history) });
    const session = link && (await openSession(deps, tenantId, link.sessionId));
    if (session !== undefined && (await newestTurn(deps, tenantId, session.id)) === link?.turnId)
      return { sessionId: session.id, content: told.fresh, isNew: false };
  }
  return begin(deps, asked, agent);
}

/** Remembers which session has just given the last answer of a conversation. */
export async function remember(deps: HttpDeps, turn: TurnAddress, name: string): Promise<void> {
  const { tenantId, sessionId, turnId } = turn;
  await deps.store.links.replace({ tenantId, kind: HISTORY, name, sessionId, turnId, now: deps.clock.now() });
}

const MAX_SYSTEM = 100_000;

async function begin(deps: HttpDeps, { tenantId, told, metadata, repeat }: Asked, agent: Agent): Promise<Choice> {
  const system = [agent.system ?? '', told.system].filter((text) => text !== '').join('\n\n');
  if (system.length > MAX_SYSTEM)
    throw new PlatformError('request_invalid', {
      detail: `The instructions and those of the agent are longer than ${MAX_SYSTEM} characters.`,
    });
  const environment = metadata.environment_id ?? (await usualEnvironment(deps, tenantId));
  const { session_id: _session, environment_id: _environment, ...rest } = metadata;
  const body = {
    agent: told.system === '' ? agent.id : ({ type: 'agent_with_overrides', id: agent.id, system } as const),
    environment_id: environment,
    metadata: { ...rest, ...(told.system === '' ? {} : { [HEARD]: hashOf(told.system) }) },
  };
  // The same request makes the same session.
  const unique =
    repeat &&
    createHash('sha256')
      .update(JSON.stringify([tenantId, repeat.key]))
      .digest('hex')
      .slice(0, 32);
  const session = await deps.sessions.create(tenantId, body, unique === undefined ? undefined : idOf('session', unique));
  return { sessionId: session.id, content: seeded(told), isNew: true };
}
