import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { inWorkspace, whyNot } from './files.ts';
import { defineTool } from './tool.ts';

export const writeTool = defineTool({
  name: 'write',
  kind: 'edit',
  description: 'Writes a text file, replacing what it held. Missing directories are made.',
  schema: z.object({
    file_path: z.string().describe('Path of the file, absolute or from the workspace.'),
    content: z.string().describe('The whole content.'),
  }),
  title: ({ file_path }) => `Write ${file_path}`,
  async run({ file_path, content }, { cwd, signal }) {
    const file = inWorkspace(cwd, file_path);
    try {
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, content, { signal });
    } catch (error) {
      throw whyNot(error, file);
    }
    return `Wrote ${Buffer.byteLength(content)} bytes to ${file_path}`;
  },
});
