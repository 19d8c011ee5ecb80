import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Styles only where the stream is a terminal that wants it (NO_COLOR is honoured). */
function styled(style: Style, text: string, stream: NodeJS.WriteStream): string {
  return styleText(style, text, { stream, validateStream: true });
}

/** Writes the answer itself: what a pipe should get. */
export function print(text: string): void {
  process.stdout.write(text);
}

export function printLine(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** Writes the answer as programs read it. */
export function printJson(value: unknown): void {
  printLine(JSON.stringify(value, null, 2));
}

/** Writes what is about the answer: tool calls, progress, errors. */
export function note(text: string, style: Style = 'dim'): void {
  process.stderr.write(`${styled(style, text, process.stderr)}\n`);
}

export function emphasize(style: Style, text: string): string {
  return styled(style, text, process.stdout);
}

/** Columns as wide as their widest cell; cells are cut so that a row fits a terminal line. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((title, column) => Math.min(48, Math.max(title.length, ...rows.map((row) => oneLine(row[column]).length))));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => fit(oneLine(cell), widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  printLine(emphasize('bold', line(head)));
  for (const row of rows) printLine(line(row));
}

/** Text of others may hold control characters, which would steer the terminal. */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\t\n]/gu, '');
}

function oneLine(text = ''): string {
  return printable(text).replaceAll(/\s+/g, ' ');
}

function fit(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text.padEnd(width);
}
