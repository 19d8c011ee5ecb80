import { Readable, Writable } from 'node:stream';
import * as acp from '@agentclientprotocol/sdk';
import { type BridgeOptions, bridgeApp } from './bridge.ts';

/** Files that an editor sends along come within one message. */
const MAX_FRAME_BYTES = 64 * 1024 * 1024;

/** Serves one editor over a pair of streams, until it closes its end. */
export async function serveStdio(options: BridgeOptions, input: Readable, output: Writable): Promise<void> {
  // The types of web streams differ between Node's module and the global ones, the streams do not.
  const readable = Readable.toWeb(input) as unknown as ReadableStream<Uint8Array>;
  const stream = acp.ndJsonStream(Writable.toWeb(output), readable, { maxMessageBytes: MAX_FRAME_BYTES });
  await bridgeApp(options).connect(stream).closed;
}
