import { el } from './dom.ts';

export interface Composer {
  readonly element: HTMLElement;
  setBusy(isBusy: boolean): void;
  setClosed(isClosed: boolean): void;
  setText(text: string): void;
  focus(): void;
}

/** The box to write in. Enter sends, Shift+Enter is a new line; Escape or Stop interrupts a turn. */
export function createComposer(handlers: { send(text: string): Promise<void>; stop(): Promise<void> }): Composer {
  const box = el('textarea', { name: 'message', rows: 1, placeholder: 'Write to the agent …', attrs: { 'aria-label': 'Message' } });
  const send = el('button', { type: 'submit', className: 'button primary' }, 'Send');
  const stop = el('button', { type: 'button', className: 'button danger', hidden: true }, 'Stop');
  let isBusy = false;

  const submit = async () => {
    const text = box.value.trim();
    if (text === '' || send.disabled) return;
    send.disabled = true;
    box.value = '';
    try {
      await handlers.send(text);
    } catch {
      // The handler has shown why; what was written must not be lost.
      if (box.value === '') box.value = text;
    } finally {
      send.disabled = false;
    }
  };
  const interrupt = async () => {
    stop.disabled = true;
    stop.textContent = 'Stopping …';
    try {
      await handlers.stop();
    } catch {
      // The handler has shown why; the next press tries again.
      stop.disabled = false;
      stop.textContent = 'Stop';
    }
  };
  stop.addEventListener('click', () => void interrupt());
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      void submit();
    } else if (event.key === 'Escape' && isBusy && !stop.disabled) void interrupt();
  });
  const form = el('form', {}, box, stop, send);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
  });
  return {
    element: el('div', { className: 'composer' }, form),
    setBusy(value) {
      if (value === isBusy) return;
      isBusy = value;
      stop.hidden = !value;
      stop.disabled = false;
      stop.textContent = 'Stop';
    },
    setClosed(isClosed) {
      box.disabled = isClosed;
      send.disabled = isClosed;
      box.placeholder = isClosed ? 'This session takes no more messages.' : 'Write to the agent …';
    },
    setText(text) {
      box.value = text;
      box.focus();
    },
    focus: () => box.focus(),
  };
}
