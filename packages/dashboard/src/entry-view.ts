import { el } from './dom.ts';
import type { Failure } from './failure.ts';
import { renderMarkdown } from './markdown-view.ts';
import type { Entry, ToolEntry } from './transcript.ts';

/** Sends the user's answer; rejects when it did not arrive, and then the buttons work again. */
export type Decide = (toolUseId: string, answer: 'allow' | 'session' | 'deny') => Promise<void>;

export function renderEntry(entry: Entry, decide: Decide): HTMLElement {
  switch (entry.type) {
    case 'user':
      return el('div', { className: 'message user' }, el('span', { className: 'visually-hidden' }, 'You: '), entry.text);
    case 'agent': {
      const className = entry.isStreaming ? 'message agent streaming' : 'message agent';
      return el('div', { className }, entry.text === '' ? el('p', {}, '') : renderMarkdown(entry.text));
    }
    case 'tool':
      return entry.state === 'asking' ? renderPermission(entry, decide) : renderTool(entry);
    case 'failure':
      return renderFailure(entry.failure);
    case 'note':
      return el('div', { className: 'outcome' }, entry.text);
  }
}

export function renderFailure(failure: Failure): HTMLElement {
  const fine = failure.requestId === undefined ? failure.code : `${failure.code} · request ${failure.requestId}`;
  return el(
    'div',
    { className: 'notice bad', attrs: { role: 'alert' } },
    el('strong', {}, failure.message),
    failure.fix !== undefined && el('span', {}, failure.fix),
    el('span', { className: 'fine' }, fine),
  );
}

const TOOL_STATES: Readonly<Record<ToolEntry['state'], readonly [label: string, pill: string]>> = {
  running: ['running', 'pill busy'],
  asking: ['asks', 'pill warn'],
  denied: ['denied', 'pill warn'],
  done: ['done', 'pill good'],
  failed: ['failed', 'pill bad'],
  stopped: ['no result', 'pill'],
};

function renderTool(tool: ToolEntry): HTMLElement {
  const [label, pill] = TOOL_STATES[tool.state];
  return el(
    'details',
    { className: tool.state === 'failed' ? 'tool failed' : 'tool' },
    el(
      'summary',
      {},
      el('span', { className: 'name' }, tool.name),
      el('span', { className: 'brief' }, brief(tool.input)),
      el('span', { className: pill }, label),
    ),
    el(
      'div',
      { className: 'tool-body' },
      el('h3', {}, 'Input'),
      el('pre', { tabIndex: 0 }, fullInput(tool.input)),
      el('h3', {}, 'Result'),
      el('pre', { tabIndex: 0 }, tool.result === undefined ? 'none yet' : tool.result === '' ? '(empty)' : tool.result),
    ),
  );
}

function renderPermission(tool: ToolEntry, decide: Decide): HTMLElement {
  const answers = [
    ['allow', el('button', { type: 'button', className: 'button small primary' }, 'Allow')],
    ['session', el('button', { type: 'button', className: 'button small' }, 'Allow for this session')],
    ['deny', el('button', { type: 'button', className: 'button small danger' }, 'Deny')],
  ] as const;
  const buttons = answers.map(([, button]) => button);
  for (const [answer, button] of answers) {
    button.addEventListener('click', () => {
      const setDisabled = (isDisabled: boolean) => {
        for (const one of buttons) one.disabled = isDisabled;
      };
      setDisabled(true);
      decide(tool.id, answer).catch(() => setDisabled(false));
    });
  }
  return el(
    'div',
    { className: 'permission', attrs: { role: 'group', 'aria-label': `Permission for ${tool.name}` } },
    el('div', {}, 'The agent asks to use ', el('strong', {}, tool.name), '.'),
    el('pre', { tabIndex: 0 }, fullInput(tool.input)),
    el('div', { className: 'row' }, ...buttons),
  );
}

/** The one value that says most about a call: a command, a path, a pattern, an address. */
function brief(input: Readonly<Record<string, unknown>>): string {
  const named = ['command', 'file_path', 'path', 'pattern', 'url', 'query'].map((name) => input[name]);
  const value = named.find((one) => typeof one === 'string') ?? Object.values(input)[0];
  if (value === undefined) return '';
  return (typeof value === 'string' ? value : JSON.stringify(value)).split('\n', 1)[0]?.slice(0, 200) ?? '';
}

export function fullInput(input: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(input);
  const [only] = entries;
  if (only !== undefined && entries.length === 1 && typeof only[1] === 'string') return only[1];
  return entries.map(([name, value]) => `${name}:${inputValue(value)}`).join('\n');
}

/** Text as it is, since a command or a file with its line breaks escaped is hard to judge. */
function inputValue(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  return text.includes('\n') ? `\n${text}` : ` ${text}`;
}
