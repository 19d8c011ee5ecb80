import type { SessionState, TurnState } from '../store.ts';

/**
 * The laws of turns in the plainest form there is: lists that are searched from the front. The property
 * test drives a store and this side by side, and both must always say the same.
 */
export interface ModelTurn {
  readonly id: string;
  readonly session: number;
  state: TurnState;
  attempt: number;
  owner: string | null;
  isDead: boolean;
  isScheduled: boolean;
  /** Its place in the fair order once it is ready; kept while it waits to go on. */
  rank: number | null;
  retries: number;
  isDelayed: boolean;
  steeredInto: ModelTurn | null;
  cancelRequested: boolean;
  isContinuation: boolean;
  readonly open: Set<string>;
}

export interface ModelToken {
  readonly turn: ModelTurn;
  readonly attempt: number;
}

export interface ModelSession {
  state: SessionState;
  readonly log: string[];
}

export class ReferenceModel {
  readonly turns: ModelTurn[] = [];
  readonly sessions: ModelSession[];

  constructor(sessions: number) {
    this.sessions = Array.from({ length: sessions }, () => ({ state: 'idle', log: [] }));
  }

  accept(session: number, id: string, isScheduled: boolean): void {
    this.turns.push({
      id,
      session,
      state: 'queued',
      attempt: 0,
      owner: null,
      isDead: false,
      isScheduled,
      rank: null,
      retries: 0,
      isDelayed: false,
      steeredInto: null,
      cancelRequested: false,
      isContinuation: false,
      open: new Set(),
    });
    this.at(session).log.push('user.message');
    this.promote(session);
  }

  interrupt(session: number): void {
    this.at(session).log.push('user.interrupt');
    const turn = this.underWay(session) ?? this.queued(session)[0];
    if (turn === undefined) return;
    if (turn.owner !== null) {
      turn.cancelRequested = true;
      return;
    }
    this.end(turn, 'cancelled');
    for (const steered of this.steered(turn)) this.end(steered, 'cancelled');
    this.sayIdle(session);
    this.at(session).state = 'idle';
    this.promote(session);
  }

  /** False when the approval is not pending. */
  confirm(session: number, approvalId: string): boolean {
    const turn = this.turns.find((each) => each.session === session && each.open.has(approvalId));
    if (turn === undefined) return false;
    this.at(session).log.push('user.tool_confirmation');
    turn.open.delete(approvalId);
    this.unpark(turn);
    return true;
  }

  lease(owner: string, isDead: boolean): ModelToken | undefined {
    const ready = this.turns.filter((each) => each.state === 'queued' && each.rank !== null && !each.isDelayed);
    const [turn] = ready.toSorted((a, b) => (a.rank ?? 0) - (b.rank ?? 0));
    if (turn === undefined) return undefined;
    const session = this.at(turn.session);
    if (session.state !== 'running') session.log.push('session.status_running');
    session.state = 'running';
    Object.assign(turn, { state: 'running', attempt: turn.attempt + 1, owner, isDead });
    return { turn, attempt: turn.attempt };
  }

  takeOver(owner: string, isSoleNode: boolean): ModelToken | undefined {
    const turn = this.turns.find((each) => each.owner !== null && each.owner !== owner && (isSoleNode || each.isDead));
    if (turn === undefined) return undefined;
    Object.assign(turn, { attempt: turn.attempt + 1, owner, isDead: false });
    return { turn, attempt: turn.attempt };
  }

  heldBy(owner: string): readonly string[] {
    return this.turns.filter((each) => each.owner === owner).map((each) => each.id);
  }

  holds({ turn, attempt }: ModelToken): boolean {
    return turn.attempt === attempt && turn.owner !== null;
  }

  append({ turn }: ModelToken): void {
    this.at(turn.session).log.push('agent.message');
  }

  ask({ turn }: ModelToken, approvalId: string): void {
    this.at(turn.session).log.push('agent.tool_use');
    turn.open.add(approvalId);
    this.move(turn, 'waiting_approval');
  }

  park({ turn }: ModelToken): void {
    this.move(turn, 'waiting_approval');
    turn.owner = null;
    this.unpark(turn);
  }

  resume({ turn }: ModelToken): void {
    this.move(turn, 'running');
  }

  finish({ turn }: ModelToken): void {
    const session = this.at(turn.session);
    const steered = this.steered(turn);
    this.end(turn, 'completed');
    for (const each of steered) this.end(each, 'completed');
    this.sayIdle(turn.session);
    this.promote(turn.session);
    if (this.queued(turn.session).length === 0 || session.state === 'waiting') session.state = 'idle';
  }

  requeue({ turn }: ModelToken, isDelayed: boolean): void {
    if (!turn.isContinuation) for (const each of this.steered(turn)) each.steeredInto = null;
    Object.assign(turn, { state: 'queued', owner: null, isDelayed, retries: turn.retries + (isDelayed ? 1 : 0) });
    this.at(turn.session).state = 'rescheduling';
    this.at(turn.session).log.push('session.status_rescheduled');
  }

  /** The id of what it takes in. */
  steer({ turn }: ModelToken): string | undefined {
    if (turn.state !== 'running' || turn.cancelRequested) return undefined;
    const [taken] = this.queued(turn.session);
    if (taken !== undefined) taken.steeredInto = turn;
    return taken?.id;
  }

  private steered(turn: ModelTurn): readonly ModelTurn[] {
    return this.turns.filter((each) => each.steeredInto === turn && each.state === 'queued');
  }

  /** Gives the session's next turn its place: one round after the last of its kind, and not before the head. */
  private promote(session: number): void {
    const [turn] = this.queued(session);
    if (turn === undefined || turn.rank !== null || this.underWay(session) !== undefined) return;
    const ready = this.turns.filter((each) => each.state === 'queued' && each.rank !== null);
    const ranks = (isScheduled: boolean) => ready.filter((each) => each.isScheduled === isScheduled).map((each) => each.rank ?? 0);
    const backlog = ranks(false);
    const head = backlog.length === 0 ? undefined : Math.min(...backlog);
    const first = head === undefined ? 0 : head - (turn.isScheduled ? 0.25 : 0);
    turn.rank = Math.max(first, ...ranks(turn.isScheduled).map((rank) => rank + (turn.isScheduled ? 0.25 : 1)));
  }

  private sayIdle(session: number): void {
    if (this.queued(session).length === 0) this.at(session).log.push('session.status_idle');
  }

  private at(session: number): ModelSession {
    const found = this.sessions[session];
    if (found === undefined) throw new Error('no such session in the model');
    return found;
  }

  private underWay(session: number): ModelTurn | undefined {
    return this.turns.find((each) => each.session === session && (each.state === 'running' || each.state === 'waiting_approval'));
  }

  private queued(session: number): readonly ModelTurn[] {
    return this.turns.filter((each) => each.session === session && each.state === 'queued' && each.steeredInto === null);
  }

  private move(turn: ModelTurn, state: 'running' | 'waiting_approval'): void {
    turn.state = state;
    this.at(turn.session).state = state === 'running' ? 'running' : 'waiting';
  }

  private unpark(turn: ModelTurn): void {
    if (turn.state !== 'waiting_approval' || turn.owner !== null || (turn.open.size > 0 && !turn.cancelRequested)) return;
    Object.assign(turn, { state: 'queued', isContinuation: true });
  }

  private end(turn: ModelTurn, state: TurnState): void {
    Object.assign(turn, { state, owner: null });
    turn.open.clear();
    const { log } = this.at(turn.session);
    log.push('turn.ended');
  }
}
