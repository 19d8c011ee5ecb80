import type { HttpAdapter } from '../support.ts';
import { agentRoutes } from './agent-routes.ts';
import { containerRoutes } from './container-routes.ts';
import { clawHqError } from './errors.ts';

/** ClawHQ's agents, each of which can be deployed as a service. */
export const clawHqAdapter: HttpAdapter = {
  name: 'clawhq',
  owns: (path) => /^\/api\/agents(\/|$)/.test(path),
  renderError: clawHqError,
  routes(table) {
    agentRoutes(table);
    containerRoutes(table);
  },
};
