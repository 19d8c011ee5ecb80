import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { inWorkspace } from './files.ts';
import { answerParser, type SearchQuery } from './search-worker.ts';
import { defineTool, type Tool, type ToolContext, ToolError } from './tool.ts';

const TIMEOUT_MS = 30_000;
const PATH_HELP = 'Directory to search below. Default: the workspace.';

/**
 * The two searches. They run in a thread, since a regular expression of the model's can take for ever
 * and a thread can be ended; `workerUrl` is the program that calls `runSearchWorker` when it is not the main thread.
 */
export function createSearchTools(workerUrl: URL): readonly Tool[] {
  const globTool = defineTool({
    name: 'glob',
    kind: 'search',
    description: 'Finds files by a pattern such as **/*.ts, newest first. Skips .git and node_modules unless the pattern names them.',
    schema: z.object({
      pattern: z.string().describe('Pattern with *, ** (any depth), ?, [abc] and {a,b}.'),
      path: z.string().optional().describe(PATH_HELP),
    }),
    title: ({ pattern }) => `Find ${pattern}`,
    run: ({ pattern, path }, context) => search(workerUrl, { kind: 'glob', pattern, ...places(context, path) }, context),
  });
  const grepTool = defineTool({
    name: 'grep',
    kind: 'search',
    description:
      'Searches file contents for a regular expression (JavaScript syntax); returns path:line:text. Skips .git, node_modules and binary files.',
    schema: z.object({
      pattern: z.string().describe('The regular expression, matched line by line.'),
      path: z.string().optional().describe(`${PATH_HELP} May be a single file.`),
    }),
    title: ({ pattern }) => `Search for ${pattern}`,
    run: ({ pattern, path }, context) => search(workerUrl, { kind: 'grep', pattern, ...places(context, path) }, context),
  });
  return [globTool, grepTool];
}

function places({ cwd }: ToolContext, path: string | undefined): { readonly cwd: string; readonly root: string } {
  return { cwd, root: path === undefined || path === '' ? cwd : inWorkspace(cwd, path) };
}

async function search(workerUrl: URL, query: SearchQuery, { signal }: ToolContext): Promise<string> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const worker = new Worker(workerUrl, { workerData: query });
  worker.once('message', resolve);
  worker.once('error', reject);
  worker.once('exit', () => reject(new ToolError('the search ended without an answer')));
  const timer = setTimeout(() => reject(new ToolError(`the search took longer than ${TIMEOUT_MS} ms; narrow it`)), TIMEOUT_MS);
  const onAbort = () => reject(new ToolError('the search was stopped'));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const answer = answerParser.parse(await promise);
    if (!answer.ok) throw new ToolError(answer.text);
    return answer.text;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    await worker.terminate();
  }
}
