import type { ToolSettings } from '../config.ts';
import { bashTool } from './bash.ts';
import { editTool } from './edit.ts';
import { readTool } from './read.ts';
import { createSearchTools } from './search.ts';
import type { Tool } from './tool.ts';
import { writeTool } from './write.ts';

export function createTools(workerUrl: URL): readonly Tool[] {
  return [bashTool, readTool, writeTool, editTool, ...createSearchTools(workerUrl)];
}

/** The tools that the session's settings switch on. A tool that the settings do not name is off. */
export function enabledTools(tools: readonly Tool[], settings: ToolSettings): readonly Tool[] {
  return tools.filter((tool) => settings[tool.name]?.enabled === true);
}
