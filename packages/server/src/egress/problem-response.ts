import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { PROBLEM_KINDS, PROBLEMS, type ProblemCode } from '@cloister/api';

interface Problem {
  readonly status: number;
  readonly body: string;
}

const MEDIA_TYPE = 'application/problem+json';

function problem(code: ProblemCode, detail: string): Problem {
  const { kind, title, fix } = PROBLEMS[code];
  const { status } = PROBLEM_KINDS[kind];
  return { status, body: JSON.stringify({ title, status, detail, code, fix }) };
}

export function sendProblem(response: ServerResponse, code: ProblemCode, detail: string): void {
  const { status, body } = problem(code, detail);
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'content-type': MEDIA_TYPE, 'content-length': Buffer.byteLength(body) }).end(body);
}

/** The answer to a CONNECT that gets no tunnel; the connection ends with it. */
export function refuseTunnel(socket: Duplex, code: ProblemCode, detail: string): void {
  if (!socket.writable) return void socket.destroy();
  const { status, body } = problem(code, detail);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`,
    `content-type: ${MEDIA_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
