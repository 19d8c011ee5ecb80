import { type Preview, type SessionEvent, toolNameOf } from '@cloister/api';
import { note, print, printable, printLine } from './output.ts';

/** Shows a turn as it happens: what the agent says on stdout, what it does on stderr. */
export interface TurnPrinter {
  take(event: SessionEvent | Preview): void;
}

const SHORT = 160;

export function createTurnPrinter(): TurnPrinter {
  /** The message being streamed and how much of it is on the screen. */
  let open: { readonly id: string; text: string } | undefined;

  function endLine(): void {
    if (open !== undefined && open.text !== '' && !open.text.endsWith('\n')) printLine();
    open = undefined;
  }

  function takeMessage(event: Extract<SessionEvent, { type: 'agent.message' }>): void {
    const text = printable(textOf(event.content));
    if (open !== undefined && open.id === event.id && text.startsWith(open.text)) {
      print(text.slice(open.text.length));
      open.text = text;
      endLine();
    } else {
      endLine();
      printLine(text);
    }
  }

  function takeDelta(event: Extract<Preview, { type: 'event_delta' }>): void {
    const text = printable(event.delta.content.text);
    if (open?.id !== event.event_id) {
      endLine();
      open = { id: event.event_id, text: '' };
    }
    print(text);
    open.text += text;
  }

  return {
    take(event) {
      if (event.type === 'event_delta') return takeDelta(event);
      if (event.type === 'agent.message') return takeMessage(event);
      const line = describe(event);
      if (line === undefined) return;
      endLine();
      note(line.text, line.isBad ? 'red' : 'dim');
    },
  };
}

function describe(event: SessionEvent | Preview): { readonly text: string; readonly isBad: boolean } | undefined {
  switch (event.type) {
    case 'agent.tool_use':
    case 'agent.mcp_tool_use':
      return { text: `▸ ${printable(toolNameOf(event))} ${shorten(JSON.stringify(event.input))}`, isBad: false };
    case 'agent.tool_result':
    case 'agent.mcp_tool_result':
      return { text: `  ${event.is_error ? '✗' : '✓'} ${shorten(textOf(event.content))}`, isBad: event.is_error };
    case 'session.status_rescheduled':
      return { text: 'Something went wrong on the way; trying again …', isBad: false };
    default:
      return undefined;
  }
}

function textOf(content: readonly { readonly text: string }[]): string {
  return content.map((block) => block.text).join('\n');
}

function shorten(text: string): string {
  const line = printable(text).replaceAll(/\s+/g, ' ').trim();
  return line.length > SHORT ? `${line.slice(0, SHORT - 1)}…` : line;
}
