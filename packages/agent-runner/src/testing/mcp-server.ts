// An MCP server for tests: over stdio when it is run, or over HTTP by `handle`.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { z } from 'zod';

/** `echo` says what it is given; `grow` adds the tool `grown`; `fail` fails; `long` answers very much; `die` ends the process. */
function createTestServer(): McpServer {
  const server = new McpServer({ name: 'test', version: '1.0.0' });
  const say = (text: string) => ({ content: [{ type: 'text' as const, text }] });
  server.registerTool('echo', { description: 'Says it again', inputSchema: { text: z.string() } }, ({ text }) =>
    say(`${process.env.GREETING ?? 'echo'}: ${text}`),
  );
  server.registerTool('grow', { description: 'Adds a tool' }, () => {
    server.registerTool('grown', { description: 'Was added' }, () => say('I was added'));
    return say('grew');
  });
  server.registerTool('fail', { description: 'Fails' }, () => ({ ...say('it went wrong'), isError: true }));
  server.registerTool('long', { description: 'Says much' }, () => say('x'.repeat(100_000)));
  server.registerTool('die', { description: 'Ends' }, () => process.exit(1));
  return server;
}

export interface HttpMcp extends AsyncDisposable {
  readonly port: number;
  /** Headers of the requests so far. */
  readonly seen: readonly IncomingMessage['headers'][];
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** Each request has a server of its own, as the stateless form of the protocol has it. */
export async function startHttpMcp({ authorization }: { readonly authorization?: string | (() => string) } = {}): Promise<HttpMcp> {
  const seen: IncomingMessage['headers'][] = [];
  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    seen.push(request.headers);
    const wanted = typeof authorization === 'function' ? authorization() : authorization;
    if (wanted !== undefined && request.headers.authorization !== wanted) return void response.writeHead(401).end('who are you?');
    if (request.method !== 'POST') return void response.writeHead(405).end();
    const transport = new StreamableHTTPServerTransport({});
    const server = createTestServer();
    response.once('close', () => void server.close());
    // As: its optional fields are typed without undefined, which the interface's own are not.
    await server.connect(transport as Parameters<typeof server.connect>[0]);
    await transport.handleRequest(request, response);
  }
  const http: Server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      console.error(error);
      response.destroy();
    });
  });
  await new Promise<void>((resolve) => void http.listen(0, '127.0.0.1', resolve));
  return {
    // As: a server that listens on a port has such an address.
    port: (http.address() as AddressInfo).port,
    seen,
    handle,
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

if (import.meta.main) await createTestServer().connect(new StdioServerTransport());
