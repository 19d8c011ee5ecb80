// Secrets leave this process on purpose only: whatever is written for people (logs, errors, events, webhooks) goes
// through here. There is one list for the process, since a log line may tell of what any part of it has read.
import { formsOf } from './forms.ts';
import { createNeedles, MIN_NEEDLE } from './needles.ts';
import { redactShapes } from './shapes.ts';

export { redactFields } from './shapes.ts';

const MASK = '[redacted]';
/** Of those that come and go, such as opened credentials; what the settings hold is kept for good. */
const MAX_PASSING = 5000;

export interface Redactor {
  /** The value is secret from now on, in every form it may take. Shorter ones than 8 characters are passed by. */
  remember(secret: string, options?: { readonly isLasting?: boolean }): void;
  /** The text without what is secret, by value and by form. */
  redact(text: string): string;
  /** By value alone: for texts whose URLs and tokens are not ours to judge. */
  redactKnown(text: string): string;
}

export function createRedactor(maxPassing = MAX_PASSING): Redactor {
  const lasting = new Set<string>();
  const passing = new Set<string>();
  const needles = createNeedles();
  const addForms = (secret: string) => {
    for (const form of formsOf(secret)) needles.add(form);
  };
  /** The older half goes at once, so that the table is rarely made anew. */
  const forgetSome = () => {
    for (const secret of [...passing].slice(0, Math.ceil(maxPassing / 2))) passing.delete(secret);
    needles.clear();
    for (const secret of [...lasting, ...passing]) addForms(secret);
  };
  return {
    remember(secret, { isLasting = false } = {}) {
      if (secret.length < MIN_NEEDLE || lasting.has(secret)) return;
      if (isLasting) {
        passing.delete(secret);
        lasting.add(secret);
      } else {
        if (passing.has(secret)) return;
        if (passing.size >= maxPassing) forgetSome();
        passing.add(secret);
      }
      addForms(secret);
    },
    redact: (text) => redactShapes(needles.replaceIn(text, MASK)),
    redactKnown: (text) => needles.replaceIn(text, MASK),
  };
}

const known = createRedactor();

/** The value is never to be seen outside this process from now on. */
export const rememberSecret = known.remember;
export const redact = known.redact;
export const redactKnown = known.redactKnown;
