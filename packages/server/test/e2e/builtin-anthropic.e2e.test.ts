import { agentScenario } from './scenario.ts';

agentScenario({
  name: 'the built-in agent on the Anthropic wire',
  harness: 'builtin',
  model: 'claude-sonnet-4-5',
  shell: 'bash',
  env: (model, key) => ({ ANTHROPIC_API_KEY: key, ANTHROPIC_BASE_URL: model.url }),
});
