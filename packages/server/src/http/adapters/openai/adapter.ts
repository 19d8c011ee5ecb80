import type { HttpAdapter } from '../support.ts';
import { chatRoutes } from './chat.ts';
import { openAiError } from './errors.ts';
import { modelRoutes } from './models.ts';
import { responseRoutes } from './responses.ts';

const PATHS = /^\/v1\/(chat\/completions|responses|models)(\/|$)/;

/** The parts of OpenAI's API by which its clients talk with an agent. */
export const openAiAdapter: HttpAdapter = {
  name: 'openai',
  owns: (path) => PATHS.test(path),
  renderError: openAiError,
  routes(table) {
    chatRoutes(table);
    responseRoutes(table);
    modelRoutes(table);
  },
};
