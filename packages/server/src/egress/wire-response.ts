import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { GatewayError, ModelWire } from './wires/wire.ts';

/** Answers with an error of the gateway in the form this wire's clients understand. */
export function sendWireError(response: ServerResponse, wire: ModelWire, error: GatewayError, headers: OutgoingHttpHeaders = {}): void {
  const body = JSON.stringify(wire.renderError(error));
  const length = Buffer.byteLength(body);
  response.writeHead(error.status, { ...headers, 'content-type': 'application/json', 'content-length': length }).end(body);
}
