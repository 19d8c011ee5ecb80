import { readFile, stat, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { inWorkspace, whyNot } from './files.ts';
import { defineTool, ToolError } from './tool.ts';

const MAX_BYTES = 10 * 1024 * 1024;

export const editTool = defineTool({
  name: 'edit',
  kind: 'edit',
  description: 'Replaces a piece of text in a file. The piece must occur exactly once, unless replace_all is true.',
  schema: z.object({
    file_path: z.string().describe('Path of the file, absolute or from the workspace.'),
    old_string: z.string().describe('The text to replace, exactly as it is in the file.'),
    new_string: z.string().describe('What takes its place.'),
    replace_all: z.boolean().optional().describe('Replaces every occurrence.'),
  }),
  title: ({ file_path }) => `Edit ${file_path}`,
  async run({ file_path, old_string, new_string, replace_all }, { cwd, signal }) {
    if (old_string === '') throw new ToolError('old_string is empty; use write to fill a file');
    if (old_string === new_string) throw new ToolError('old_string and new_string are the same');
    const file = inWorkspace(cwd, file_path);
    try {
      const pieces = (await readText(file, signal)).split(old_string);
      const count = pieces.length - 1;
      if (count === 0) throw new ToolError(`old_string does not occur in ${file_path}`);
      if (count > 1 && replace_all !== true)
        throw new ToolError(`old_string occurs ${count} times in ${file_path}; make it longer or set replace_all`);
      await writeFile(file, pieces.join(new_string), { signal });
      return count === 1 ? `Edited ${file_path}` : `Replaced ${count} occurrences in ${file_path}`;
    } catch (error) {
      throw whyNot(error, file);
    }
  },
});

async function readText(file: string, signal: AbortSignal): Promise<string> {
  const found = await stat(file);
  if (!found.isFile()) throw new ToolError('this is not a regular file');
  if (found.size > MAX_BYTES) throw new ToolError(`the file is larger than ${MAX_BYTES} bytes; change it with bash`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(file, { signal }));
  } catch (error) {
    if (error instanceof TypeError) throw new ToolError('the file is not UTF-8 text; change it with bash');
    throw error;
  }
}
