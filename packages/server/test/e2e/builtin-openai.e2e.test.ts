import { agentScenario } from './scenario.ts';

agentScenario({
  name: 'the built-in agent on the OpenAI-compatible wire',
  harness: 'builtin',
  model: 'fake-model',
  shell: 'bash',
  env: (model, key) => ({ OPENAI_API_KEY: key, OPENAI_BASE_URL: `${model.url}/v1` }),
});
