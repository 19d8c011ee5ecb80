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

export interface OutputBytes {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** How many bytes of each have come. */
export interface SeenBytes {
  readonly stdout: number;
  readonly stderr: number;
}

export interface SplitOptions {
  /** Asked at the end, with how many bytes have come, for what came another way. */
  readonly late?: ((seen: SeenBytes) => Promise<OutputBytes | undefined>) | undefined;
}

/**
 * Makes three streams out of a hijacked connection. Both outputs must be read: they share the connection,
 * so an unread one holds up the other rather than filling memory. A connection that breaks ends both
 * outputs; why the program ended is told elsewhere, by its exit.
 */
export function splitHijacked(
  connection: { readonly socket: Duplex; readonly head: Buffer },
  log: Logger,
  { late }: SplitOptions = {},
): HijackedIo {
  const { socket, head } = connection;
  const outputs = { stdout: createOutput(socket), stderr: createOutput(socket) };
  const seen = { stdout: 0, stderr: 0 };
  const frames = createFrameReader((stream, chunk) => {
    seen[stream] += chunk.length;
    if (!outputs[stream].push(chunk)) socket.pause();
  });
  const { promise: ended, resolve } = Promise.withResolvers<void>();

  const end = (rest?: OutputBytes) => {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (rest !== undefined && rest[stream].length > 0) outputs[stream].push(rest[stream]);
      outputs[stream].end();
    }
    resolve();
  };

  socket.on('data', (chunk: Buffer) => frames.push(chunk));
  socket.on('error', (error) => log.warn({ err: error }, 'the connection to a sandbox broke'));
  socket.once('close', () => {
    if (!frames.isWhole()) log.warn('the output of a sandbox was cut in the middle');
    if (late === undefined) end();
    else
      void late(seen)
        .then(end)
        .catch((error: unknown) => {
          log.warn({ err: error }, 'the last output of a sandbox could not be looked for');
          end();
        });
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
