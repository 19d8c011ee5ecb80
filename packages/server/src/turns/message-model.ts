import type { LeasedTurn } from '../store/store.ts';

/** The turn as its message wants it: with the model that the message names, for this turn alone. */
export function withMessageModel(leased: LeasedTurn): LeasedTurn {
  const { model } = leased.message.payload;
  if (typeof model !== 'string') return leased;
  return { ...leased, session: { ...leased.session, agent: { ...leased.session.agent, model: { id: model } } } };
}
