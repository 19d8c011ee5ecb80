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
  until: number;
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

  accept(session: number, id: string): void {
    this.turns.push({
      id,
      session,
      state: 'queued',
      attempt: 0,
      owner: null,
      until: 0,
      cancelRequested: false,
      isContinuation: false,
      open: new Set(),
    });
    this.at(session).log.push('user.message');
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
    this.at(session).state = 'idle';
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

  lease(owner: string, until: number): ModelToken | undefined {
    const turn = this.turns.find((each) => each.state === 'queued' && this.underWay(each.session) === undefined);
    if (turn === undefined) return undefined;
    const session = this.at(turn.session);
    if (session.state !== 'running') session.log.push('session.status_running');
    session.state = 'running';
    Object.assign(turn, { state: 'running', attempt: turn.attempt + 1, owner, until });
    return { turn, attempt: turn.attempt };
  }

  takeOver(owner: string, input: { isSoleNode: boolean; now: number; until: number }): ModelToken | undefined {
    const turn = this.turns.find((each) => each.owner !== null && each.owner !== owner && (input.isSoleNode || each.until <= input.now));
    if (turn === undefined) return undefined;
    Object.assign(turn, { attempt: turn.attempt + 1, owner, until: input.until });
    return { turn, attempt: turn.attempt };
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
    this.end(turn, 'completed');
    if (this.queued(turn.session).length === 0 || session.state === 'waiting') session.state = 'idle';
  }

  requeue({ turn }: ModelToken): void {
    Object.assign(turn, { state: 'queued', owner: null });
    this.at(turn.session).state = 'rescheduling';
    this.at(turn.session).log.push('session.status_rescheduled');
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
    return this.turns.filter((each) => each.session === session && each.state === 'queued');
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
    if (this.queued(turn.session).length === 0) log.push('session.status_idle');
  }
}
