import { agentScenario } from './scenario.ts';

agentScenario({
  name: 'the real Claude agent',
  harness: 'claude',
  model: 'claude-sonnet-4-5',
  shell: 'Bash',
  env: (model, key) => ({ ANTHROPIC_API_KEY: key, ANTHROPIC_BASE_URL: model.url }),
});
