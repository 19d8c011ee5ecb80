import { type Duplex, Readable, Writable } from 'node:stream';
import type { Logger } from '../../base/log.ts';
import { createFrameReader } from './demux.ts';

export interface HijackedIo {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the engine has closed its side: no more output will come. */
  readonly ended: Promise<void>;
}

/**
 * Makes three streams out of a hijacked connection. Both outputs must be read: they share the connection,
 * so an unread one holds up the other rather than filling memory. A connection that breaks ends both
 * outputs; why the program ended is told elsewhere, by its exit.
 */
export function splitHijacked(connection: { readonly socket: Duplex; readonly head: Buffer }, log: Logger): HijackedIo {
  const { socket, head } = connection;
  const outputs = { stdout: createOutput(socket), stderr: createOutput(socket) };
  const frames = createFrameReader((stream, chunk) => {
    if (!outputs[stream].push(chunk)) socket.pause();
  });
  const { promise: ended, resolve } = Promise.withResolvers<void>();

  socket.on('data', (chunk: Buffer) => frames.push(chunk));
  socket.on('error', (error) => log.warn({ err: error }, 'the connection to a sandbox broke'));
  socket.once('close', () => {
    if (!frames.isWhole()) log.warn('the output of a sandbox was cut in the middle');
    outputs.stdout.end();
    outputs.stderr.end();
    resolve();
  });
  if (head.length > 0) frames.push(head);
  return { stdin: createInput(socket, log), stdout: outputs.stdout.readable, stderr: outputs.stderr.readable, ended };
}

interface Output {
  readonly readable: Readable;
  push(chunk: Buffer): boolean;
  end(): void;
}

function createOutput(socket: Duplex): Output {
  let isDestroyed = false;
  const readable = new Readable({
    read: () => socket.resume(),
    destroy(error, done) {
      // Nobody wants this output any more: what still comes is dropped, so that the other output goes on.
      isDestroyed = true;
      socket.resume();
      done(error);
    },
  });
  return {
    readable,
    push: (chunk) => isDestroyed || readable.push(chunk),
    end: () => void (isDestroyed || readable.push(null)),
  };
}

/** Ending it closes our half of the connection, which the engine passes on as the program's end of input. */
function createInput(socket: Duplex, log: Logger): Writable {
  const stdin = new Writable({
    write: (chunk, encoding, done) => void socket.write(chunk, encoding, done),
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.end();
      done(error);
    },
  });
  // Writing to a program that has gone is normal; its exit report says why it went.
  stdin.on('error', (error) => log.debug({ err: error }, 'input for a sandbox was not taken'));
  return stdin;
}
