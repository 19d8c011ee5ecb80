/** Whoever runs turns, as far as questions to people concern them. */
export interface AnswerSignal {
  /** The session's turn waits for an answer about its budget. */
  asked(sessionId: string): void;
  /** A question of the session was answered, or has expired. */
  confirmed(sessionId: string): void;
}

export interface AnswerRelay extends AnswerSignal {
  /** Told from now on. Before that there are no turns. */
  connect(signal: AnswerSignal): void;
}

/** Approvals are there before what runs turns, which asks through them. */
export function createAnswerRelay(): AnswerRelay {
  let connected: AnswerSignal | undefined;
  return {
    connect(signal) {
      connected = signal;
    },
    asked: (sessionId) => connected?.asked(sessionId),
    confirmed: (sessionId) => connected?.confirmed(sessionId),
  };
}
