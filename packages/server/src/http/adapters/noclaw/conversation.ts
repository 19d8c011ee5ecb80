import type { Agent, AgentCreate, EnvironmentCreate } from '@cloister/api';
import { canonicalJson } from '../../../base/json.ts';
import type { HttpDeps } from '../../context.ts';
import { adapterEnvironment, stableId, userAgent } from '../user-place.ts';

export const ADAPTER = 'noclaw';

/** What every user's agent is told, behind what the user says of it. */
const STANDING =
  'Your files in /workspace last from one conversation to the next. Keep what has to be remembered in /workspace/memory.md, and read it when it may matter.';

export function systemOf(context: string): string {
  return context.trim() === '' ? STANDING : `${context}\n\n${STANDING}`;
}

/** Each request has a sandbox of its own, in which the user's files are. */
function environmentOf({ adapters }: HttpDeps): EnvironmentCreate {
  const { memory, cpus } = adapters.noclaw;
  return {
    name: ADAPTER,
    description: 'Where the users of the NoClaw API work: a new sandbox for each request, in which the files of the user are.',
    config: { type: 'container', workspace: 'agent', sandbox: 'turn', memory, cpus },
  };
}

/** The agent of a user, whose system prompt is the user's context. */
export function noclawAgent(deps: HttpDeps, tenantId: string, user: string): Promise<Agent> {
  const { model, harness } = deps.usual;
  const body: AgentCreate = { name: `${user} (${ADAPTER})`, model, harness };
  return userAgent(deps, { tenantId, adapter: ADAPTER, userId: user, body, initial: { system: systemOf('') } });
}

/** The one conversation of a user; it begins anew when the environment changes, with the same files. */
export async function conversationOf(deps: HttpDeps, tenantId: string, user: string): Promise<string> {
  const { store, sessions, clock } = deps;
  const environment = await adapterEnvironment(deps, { tenantId, adapter: ADAPTER }, environmentOf(deps));
  const agent = await noclawAgent(deps, tenantId, user);
  const sessionId = await currentSession(deps, tenantId, [user, environment.id, canonicalJson(environment.config)]);
  if ((await store.adapterSessions.find({ tenantId, adapter: ADAPTER, sessionId })) === undefined) {
    await store.adapterSessions.claim({ tenantId, adapter: ADAPTER, sessionId, userId: user, data: {}, now: clock.now() });
    const metadata = { 'cloister.adapter': ADAPTER };
    await sessions.create(tenantId, { agent: agent.id, environment_id: environment.id, title: user.slice(0, 128), metadata }, sessionId);
  }
  await sessions.follow(tenantId, sessionId);
  return sessionId;
}

/** The id that the conversation of that name has: one that was archived is over, and the next one has another. */
async function currentSession({ store }: HttpDeps, tenantId: string, name: readonly string[]): Promise<string> {
  for (let generation = 0; ; generation++) {
    const id = stableId('session', tenantId, ADAPTER, ...name, String(generation));
    const session = await store.sessions.find({ tenantId, id });
    if (session === undefined || session.archivedAt === null) return id;
  }
}
