import { createInterface } from 'node:readline/promises';
import { isCancel, text } from '@clack/prompts';
import type { Client } from '@cloister/api';
import { Command } from 'commander';
import { APPROVE_OPTION } from './agent.ts';
import { connect } from './connection.ts';
import { reportError } from './errors.ts';
import { note } from './output.ts';
import { chooseSession, SESSION_OPTIONS, type SessionOptions } from './session-choice.ts';
import { type Approve, runTurn } from './turn.ts';

interface ChatOptions extends SessionOptions {
  readonly approve: Approve;
  readonly json?: true;
}

const HELP = '/new starts another session, /session prints its id, /quit leaves, Ctrl-C interrupts a turn.';

export function chatCommand(): Command {
  const command = new Command('chat').option('--json', 'print the events as JSON lines').addOption(APPROVE_OPTION);
  for (const option of SESSION_OPTIONS) command.addOption(option);
  return command.action(async (options: ChatOptions) => {
    const client = connect();
    const sessionId = await chooseSession(client, options);
    note(`Session ${sessionId}. ${HELP}`);
    await chat(client, sessionId, options);
  });
}

async function chat(client: Client, firstSessionId: string, options: ChatOptions): Promise<void> {
  let sessionId = firstSessionId;
  for await (const line of process.stdin.isTTY ? promptedLines() : createInterface({ input: process.stdin })) {
    const message = line.trim();
    if (message === '/quit' || message === '/exit') return;
    if (message === '/session') note(sessionId, 'reset');
    else if (message === '/new') {
      const { session: _, ...others } = options;
      sessionId = await chooseSession(client, others);
      note(`Session ${sessionId}`);
    } else if (message.startsWith('/')) note(HELP);
    else if (message !== '') {
      // A failed turn ends the turn, not the conversation.
      await runTurn({ client, sessionId, message, approve: options.approve, json: options.json === true }).catch(reportError);
    }
  }
}

async function* promptedLines(): AsyncGenerator<string> {
  for (;;) {
    const line = await text({ message: 'You', placeholder: 'Write a message, or /quit' });
    if (isCancel(line)) return;
    yield line ?? '';
  }
}
