import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchRoute, upstreamUrl } from './routes.ts';

/** method, path of the client, configured base URL, where it goes. */
const ROUTES: readonly (readonly [string, string, string, string])[] = [
  ['POST', '/anthropic/v1/messages', 'https://api.anthropic.com', 'https://api.anthropic.com/v1/messages'],
  ['POST', '/anthropic/v1/messages', 'https://proxy.example/v1', 'https://proxy.example/v1/messages'],
  ['POST', '/anthropic/v1/messages', 'https://api.deepseek.com/anthropic', 'https://api.deepseek.com/anthropic/v1/messages'],
  ['POST', '/anthropic/messages', 'https://api.anthropic.com', 'https://api.anthropic.com/v1/messages'],
  ['POST', '/anthropic/v1/messages/count_tokens', 'https://api.anthropic.com', 'https://api.anthropic.com/v1/messages/count_tokens'],
  ['GET', '/anthropic/v1/models/claude-x', 'https://api.anthropic.com', 'https://api.anthropic.com/v1/models/claude-x'],
  ['POST', '/openai/v1/chat/completions', 'https://api.openai.com/v1', 'https://api.openai.com/v1/chat/completions'],
  ['POST', '/openai/chat/completions', 'https://api.openai.com/v1', 'https://api.openai.com/v1/chat/completions'],
  ['POST', '/openai/v1/responses', 'https://api.openai.com/v1/', 'https://api.openai.com/v1/responses'],
  ['POST', '/openai-compatible/v1/chat/completions', 'http://127.0.0.1:11434/v1', 'http://127.0.0.1:11434/v1/chat/completions'],
  ['POST', '/openai-compatible/v1/chat/completions', 'http://127.0.0.1:1234', 'http://127.0.0.1:1234/v1/chat/completions'],
  [
    'POST',
    '/openai-compatible/v1/chat/completions',
    'https://host.example/api/paas/v4',
    'https://host.example/api/paas/v4/chat/completions',
  ],
  ['GET', '/openai-compatible/v1/models/org/name', 'http://127.0.0.1:1234/v1', 'http://127.0.0.1:1234/v1/models/org/name'],
  ['POST', '/deepseek/v1/chat/completions', 'https://api.deepseek.com', 'https://api.deepseek.com/chat/completions'],
  ['POST', '/xai/v1/chat/completions', 'https://api.x.ai/v1', 'https://api.x.ai/v1/chat/completions'],
  [
    'POST',
    '/google/v1beta/models/gemini-x:streamGenerateContent',
    'https://generativelanguage.googleapis.com/v1beta',
    'https://generativelanguage.googleapis.com/v1beta/models/gemini-x:streamGenerateContent',
  ],
  ['POST', '/google/v1beta/models/g:generateContent', 'https://g.example', 'https://g.example/v1beta/models/g:generateContent'],
];

for (const [method, path, baseUrl, expected] of ROUTES) {
  test(`${method} ${path} with ${baseUrl}`, () => {
    const match = matchRoute(method, path);
    assert.ok(match.type === 'route');
    assert.equal(upstreamUrl(match.route, '', { baseUrl, auth: undefined }).href, expected);
  });
}

test('generation is told apart from what is only asked, and Gemini names its model in the path', () => {
  const kinds = [
    '/anthropic/v1/messages',
    '/anthropic/v1/messages/count_tokens',
    '/google/v1beta/models/g-1.5:countTokens',
    '/google/v1beta/models/g-1.5:generateContent',
  ];
  const found = kinds.map((path) => {
    const match = matchRoute('POST', path);
    return match.type === 'route' ? [match.route.isGeneration, match.route.model] : [];
  });
  assert.deepEqual(found, [
    [true, null],
    [false, null],
    [false, 'g-1.5'],
    [true, 'g-1.5'],
  ]);
});

test('of the query only known parameters go on', () => {
  const match = matchRoute('POST', '/google/v1beta/models/g:streamGenerateContent');
  assert.ok(match.type === 'route');
  const url = upstreamUrl(match.route, 'alt=sse&key=k&access_token=t&$httpHeaders=x&api_key=z', {
    baseUrl: 'https://g.example/v1beta',
    auth: undefined,
  });
  assert.equal(url.search, '?alt=sse');
});
