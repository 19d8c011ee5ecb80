import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { claudeHarness } from '../harness/claude.ts';
import { createToolLog, type ToolCallFields, toolNamer } from './tool-log.ts';

const AGENT = {
  tools: [
    { type: 'agent_toolset_20260401' },
    { type: 'mcp_toolset', mcp_server_name: 'docs' },
    { type: 'mcp_toolset', mcp_server_name: 'docs_old' },
  ],
};

const named = (call: Omit<ToolCallFields, 'toolCallId'>) =>
  createToolLog(toolNamer(claudeHarness, AGENT)).merge({ toolCallId: 'one', ...call });

describe('the name of a called tool', () => {
  it("tells the tool of a declared server from the agent's own", () => {
    const claude = (toolName: string) => named({ title: 'Whatever it shows', _meta: { claudeCode: { toolName } } });
    assert.deepEqual(claude('mcp__docs__find').mcp, { server: 'docs', tool: 'find' });
    assert.deepEqual(claude('mcp__docs_old__find').mcp, { server: 'docs_old', tool: 'find' });
    assert.deepEqual(claude('mcp__docs___find__all').mcp, { server: 'docs', tool: '_find__all' });
    assert.deepEqual([claude('Bash').name, claude('Bash').mcp], ['bash', undefined]);
    assert.deepEqual([claude('mcp__other__find').name, claude('mcp__other__find').mcp], ['mcp__other__find', undefined]);
  });

  it("is the server's own where the agent says so, but never another tool's than the one that was asked about", () => {
    const builtin = (name: string, mcpTool: string) => named({ name, _meta: { cloister: { toolName: name, mcpTool } } });
    assert.deepEqual(builtin('mcp__docs__find_page', 'find.page').mcp, { server: 'docs', tool: 'find.page' });
    assert.equal(builtin('mcp__docs__find_page', 'find.page').name, 'mcp__docs__find_page');
    assert.deepEqual(builtin('mcp__docs__find_page', 'remove').mcp, { server: 'docs', tool: 'find_page' });
  });
});
