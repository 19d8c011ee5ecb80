import type { AgentOptions } from './harness.ts';

/** What an agent is told, after its own instructions, of the skills, the memory and the files that it was given; null when there are none. */
export function briefingOf({ provisions }: AgentOptions): string | null {
  if (provisions === undefined) return null;
  const { skills, notes } = provisions;
  const listed = skills.map(({ name, description, path }) => `- ${name}: ${oneLine(description)} (${path}/SKILL.md)`);
  const skillText =
    listed.length === 0
      ? []
      : [
          ['You have skills. When a task fits one, read its SKILL.md first and follow it; its other files lie beside it:', ...listed].join(
            '\n',
          ),
        ];
  const all = [...skillText, ...notes];
  return all.length === 0 ? null : all.join('\n\n');
}

/** The same without the skills, for a program that finds those by itself. */
export function notesOf({ provisions }: AgentOptions): string | null {
  return provisions === undefined || provisions.notes.length === 0 ? null : provisions.notes.join('\n\n');
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}
