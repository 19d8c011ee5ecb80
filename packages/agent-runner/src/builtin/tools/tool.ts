import type { ToolKind } from '@agentclientprotocol/sdk';
import type { z } from 'zod';
import type { ProcessGroups } from './process-groups.ts';

export interface ToolContext {
  /** The workspace: commands start here, relative paths begin here. */
  readonly cwd: string;
  /** Aborted when the turn is cancelled; the tool then stops what it started and its result is not used. */
  readonly signal: AbortSignal;
  readonly groups: ProcessGroups;
}

export interface Tool {
  readonly name: string;
  readonly kind: ToolKind;
  readonly description: string;
  readonly schema: z.ZodType;
  /** Of a tool whose input only its server knows: what models are told in the place of the schema. */
  readonly jsonSchema?: Readonly<Record<string, unknown>> | undefined;
  /** Of a tool of an MCP server: its name there. */
  readonly mcpTool?: string | undefined;
  /** One line for people. */
  title(input: unknown): string;
  /** The result as the model reads it. Throws `ToolError` for what the model can mend. */
  run(input: unknown, context: ToolContext): Promise<string>;
}

/** A failure that the model is told about; anything else thrown by a tool is told by its message too. */
export class ToolError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ToolError';
  }
}

interface TypedTool<T> {
  readonly name: string;
  readonly kind: ToolKind;
  readonly description: string;
  readonly schema: z.ZodType<T>;
  readonly title: (input: T) => string;
  readonly run: (input: T, context: ToolContext) => Promise<string>;
}

export function defineTool<T>(tool: TypedTool<T>): Tool {
  return {
    name: tool.name,
    kind: tool.kind,
    description: tool.description,
    schema: tool.schema,
    title(input) {
      const parsed = tool.schema.safeParse(input);
      return parsed.success ? oneLine(tool.title(parsed.data)) : tool.name;
    },
    run: (input, context) => tool.run(tool.schema.parse(input), context),
  };
}

const MAX_TITLE = 120;

function oneLine(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > MAX_TITLE ? `${line.slice(0, MAX_TITLE - 1)}…` : line;
}
