import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { inWorkspace, whyNot } from './files.ts';
import { MAX_OUTPUT } from './output-buffer.ts';
import { defineTool, ToolError } from './tool.ts';

const CHUNK_BYTES = 64 * 1024;

export const readTool = defineTool({
  name: 'read',
  kind: 'read',
  description: `Reads a text file. Returns at most ${MAX_OUTPUT} characters; read the rest with view_range.`,
  schema: z.object({
    file_path: z.string().describe('Path of the file, absolute or from the workspace.'),
    view_range: z
      .array(z.number().int())
      .length(2)
      .optional()
      .describe('[first line, last line], counted from 1; a last line of 0 or less means to the end.'),
  }),
  title: ({ file_path }) => `Read ${file_path}`,
  async run({ file_path, view_range }, { cwd, signal }) {
    const [first = 1, last = 0] = view_range ?? [];
    if (first < 1) throw new ToolError('view_range counts lines from 1');
    const range = { first, last: last <= 0 ? Number.POSITIVE_INFINITY : last };
    if (range.last < range.first) throw new ToolError('view_range ends before it begins');
    const path = inWorkspace(cwd, file_path);
    // Opening a pipe would else wait for a writer.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) =>
      Promise.reject(whyNot(error, path)),
    );
    try {
      const stat = await handle.stat();
      if (stat.isDirectory()) throw new ToolError(`${path} is a directory; list it with glob or bash`);
      if (!stat.isFile()) throw new ToolError(`${path} is not a regular file`);
      return await readLines(handle.createReadStream({ highWaterMark: CHUNK_BYTES, signal, autoClose: false }), range);
    } finally {
      await handle.close();
    }
  },
});

interface Range {
  readonly first: number;
  readonly last: number;
}

/** Reads no further than needed, and holds no more than is returned, however large the file or its lines. */
async function readLines(chunks: AsyncIterable<Buffer>, range: Range): Promise<string> {
  const decoder = new TextDecoder('utf-8');
  let line = 1;
  let text = '';
  let isEmpty = true;
  for await (const chunk of chunks) {
    if (isEmpty && chunk.includes(0)) throw new ToolError('this is a binary file; use bash to look into it');
    isEmpty = false;
    const part = takeLines(decoder.decode(chunk, { stream: true }), line, range);
    text += part.text;
    line = part.line;
    if (text.length > MAX_OUTPUT) return cut(text, range);
    if (line > range.last) return text;
  }
  if (isEmpty) return '(the file is empty)';
  if (text === '' && line < range.first) throw new ToolError(`the file has only ${line} lines`);
  return text + decoder.decode();
}

function takeLines(chunk: string, start: number, range: Range): { readonly text: string; readonly line: number } {
  let line = start;
  let text = '';
  let from = 0;
  while (from < chunk.length && line <= range.last) {
    const newline = chunk.indexOf('\n', from);
    const to = newline < 0 ? chunk.length : newline + 1;
    if (line >= range.first) text += chunk.slice(from, to);
    if (newline >= 0) line++;
    from = to;
  }
  return { text, line };
}

function cut(text: string, range: Range): string {
  const kept = text.slice(0, MAX_OUTPUT);
  const lastBreak = kept.lastIndexOf('\n');
  if (lastBreak < 0) return `${kept}\n[cut: line ${range.first} is longer than ${MAX_OUTPUT} characters]`;
  const whole = kept.slice(0, lastBreak + 1);
  const next = range.first + whole.split('\n').length - 1;
  return `${whole}[cut after ${MAX_OUTPUT} characters; read on with view_range from line ${next}]`;
}
