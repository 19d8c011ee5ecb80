import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileGlob } from './patterns/glob.ts';
import { matches } from './patterns/program.ts';
import { compileRegex, PatternError } from './patterns/regex.ts';
import { compilePattern, findRule, parsePermissionRules } from './permission-rules.ts';

const policyOf = (rules: object[], name: string, input: Record<string, string | number>) =>
  findRule(parsePermissionRules(JSON.parse(JSON.stringify(rules))), name, input)?.policy;

describe('patterns', () => {
  it('agree with the regular expressions of the language', () => {
    const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '[a-c]', '\\d', '\\w', '\\s', '\\.', '(?:ab|c)', '(a|)', 'é', '💡');
    const piece = fc.tuple(atom, fc.constantFrom('', '*', '+', '?', '{2}', '{1,3}', '{0,}')).map((parts) => parts.join(''));
    const pattern = fc
      .array(fc.oneof(piece, fc.constant('|'), fc.constant('^'), fc.constant('$')), { maxLength: 6 })
      .map((all) => all.join(''));
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', ' ', '.', 'é', '💡', '\n'), maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, (source, value) => {
        assert.equal(
          matches(compileRegex(source), value),
          new RegExp(`^(?:${source})$`, 'u').test(value),
          `${source} on ${JSON.stringify(value)}`,
        );
      }),
      { numRuns: 2000 },
    );
  });

  it('take no time however they are written', () => {
    assert.equal(matches(compileRegex('(a|a)*(a|a)*(a*)*b'), 'a'.repeat(8192)), false);
    assert.equal(matches(compileGlob('*a*a*a*a*a*a*b'), 'a'.repeat(8192)), false);
  });

  it('name what is wrong with them', () => {
    for (const wrong of ['(', ')', '[a', '*', 'a{2', 'a{9999}', '(?=a)', '\\b', '\\1', 'a\\', '[z-a]', '(a{50}){50}'])
      assert.throws(() => compilePattern({ regex: wrong }), PatternError, wrong);
    assert.throws(() => compilePattern({ glob: 'a'.repeat(500) }), PatternError);
  });

  it('globs take all characters but * ? and \\ as they are', () => {
    for (const [glob, text, is] of [
      ['git *', 'git status', true],
      ['git *', 'git status\nrm -rf /', true],
      ['git *', 'agit status', false],
      ['a.c', 'abc', false],
      ['\\*?', '*x', true],
      ['**', '', true],
      ['', '', true],
      ['', 'x', false],
    ] as const)
      assert.equal(matches(compileGlob(glob), text), is, `${glob} on ${text}`);
  });
});

describe('permission rules', () => {
  const rules = [
    { tool: 'bash', policy: 'always_allow', when: { command: { regex: 'git (status|log)( [\\w.-]+)*' } } },
    { tool: 'bash', policy: 'ask' },
    { tool: 'mcp__*', policy: 'always_allow' },
    { tool: '*', policy: 'deny', when: { command: { glob: '*rm -rf*' } } },
    { tool: 'mcp__danger__*', policy: 'deny' },
  ];

  it('the first that matches decides, and one that denies goes before it', () => {
    assert.equal(policyOf(rules, 'bash', { command: 'git status' }), 'always_allow');
    assert.equal(policyOf(rules, 'bash', { command: 'git status; ls' }), 'ask');
    assert.equal(policyOf(rules, 'bash', { command: 'sudo rm -rf /' }), 'deny');
    assert.equal(policyOf(rules, 'mcp__wiki__read', {}), 'always_allow');
    assert.equal(policyOf(rules, 'mcp__danger__read', {}), 'deny');
    assert.equal(policyOf(rules, 'read', {}), undefined);
  });

  it('an argument that is missing matches nothing, one of another kind is read as JSON', () => {
    const timeouts = [{ tool: 'bash', policy: 'deny', when: { timeout: { regex: '\\d{4,}' } } }];
    assert.equal(policyOf(timeouts, 'bash', { timeout: 5000 }), 'deny');
    assert.equal(policyOf(timeouts, 'bash', { timeout: 500 }), undefined);
    assert.equal(policyOf(timeouts, 'bash', {}), undefined);
    assert.equal(policyOf([{ tool: 'bash', policy: 'deny', when: { toString: { glob: '*' } } }], 'bash', {}), undefined);
  });

  it('what is too long to look at is not let through', () => {
    const long = 'x'.repeat(10_000);
    assert.equal(
      policyOf([{ tool: 'bash', policy: 'always_allow', when: { command: { glob: '*' } } }], 'bash', { command: long }),
      undefined,
    );
    assert.equal(policyOf([{ tool: 'bash', policy: 'deny', when: { command: { glob: 'rm *' } } }], 'bash', { command: long }), 'deny');
  });
});
