// The built-in agent. The same file is the program of its search threads; each loads only its own half.
import { isMainThread } from 'node:worker_threads';

if (isMainThread) (await import('./program.ts')).runProgram(new URL(import.meta.url));
else (await import('./tools/search-worker.ts')).runSearchWorker();
