import { Readable, Writable } from 'node:stream';
import type { ExitReport, SandboxSpec } from '../driver.ts';

/**
 * What runs in a fake sandbox: a function instead of a program. It gets what a program gets, and answers its
 * exit code. `signal` is aborted by SIGTERM; a program that does not end then goes on until it is killed.
 * Throwing the signal's reason means dying of SIGTERM, as programs do that do not handle it; throwing anything
 * else is exit 1 with the error on stderr.
 */
export type FakeProgram = (io: FakeProgramIo) => Promise<number>;

export interface FakeProgramIo {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
  readonly spec: SandboxSpec;
  /** Dies as the kernel lets a program die that is over its memory limit. */
  outOfMemory(): never;
  /** Dies of SIGKILL. */
  killSelf(): never;
}

export interface FakeProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<ExitReport>;
  /** SIGTERM: the program may end by itself. */
  terminate(): void;
  /** SIGKILL: the process is over now, whatever its function still does. */
  kill(): void;
  /** While it is held, nothing gets in or out, and it does not end by itself. */
  hold(isHeld: boolean): void;
}

export interface FakeProcessOptions {
  readonly program: FakeProgram | undefined;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly spec: SandboxSpec;
  readonly onOutput: (chunk: Buffer) => void;
}

const KILLED: ExitReport = { exitCode: null, signal: 'SIGKILL', isOutOfMemory: false };
const TERMINATED: ExitReport = { exitCode: null, signal: 'SIGTERM', isOutOfMemory: false };
const NOT_FOUND = 127;

/** Ends a program from inside; only `runProgram` catches it. */
class Death extends Error {
  readonly report: ExitReport;
  constructor(report: ExitReport) {
    super('the fake process has ended');
    this.report = report;
  }
}

export function startFakeProcess(options: FakeProcessOptions): FakeProcess {
  const terminated = new AbortController();
  const { promise: exited, resolve } = Promise.withResolvers<ExitReport>();
  const stdin = createPipe(() => undefined);
  const stdout = createPipe(options.onOutput);
  const stderr = createPipe(options.onOutput);
  let isOver = false;
  let awake = Promise.withResolvers<void>();
  awake.resolve();
  function end(report: ExitReport): void {
    if (isOver) return;
    isOver = true;
    stdin.close();
    stdout.close();
    stderr.close();
    resolve(report);
  }
  const run = async () => {
    const report = await runProgram(options, { stdin: stdin.source, stdout: stdout.sink, stderr: stderr.sink, signal: terminated.signal });
    await awake.promise;
    // A program that ended by itself has written all it wrote; one that was killed has not.
    if (report.signal === null) await Promise.all([flush(stdout.sink), flush(stderr.sink)]);
    end(report);
  };
  void run();
  return {
    stdin: stdin.sink,
    stdout: stdout.source,
    stderr: stderr.source,
    exited,
    terminate: () => terminated.abort(new Death(TERMINATED)),
    kill: () => end(KILLED),
    hold(isHeld) {
      if (isHeld) awake = Promise.withResolvers<void>();
      else awake.resolve();
      for (const pipe of [stdin, stdout, stderr]) pipe.hold(isHeld);
    },
  };
}

async function runProgram(
  { program, argv, env, cwd, spec }: FakeProcessOptions,
  io: Pick<FakeProgramIo, 'stdin' | 'stdout' | 'stderr' | 'signal'>,
): Promise<ExitReport> {
  if (program === undefined) {
    io.stderr.write(`${argv[0]}: not found\n`);
    return codeReport(NOT_FOUND);
  }
  const die = (report: ExitReport) => () => {
    throw new Death(report);
  };
  try {
    const code = await program({
      ...io,
      argv,
      env,
      cwd,
      spec,
      outOfMemory: die({ ...KILLED, isOutOfMemory: true }),
      killSelf: die(KILLED),
    });
    return codeReport(code & 0xff);
  } catch (error) {
    if (error instanceof Death) return error.report;
    // What `node:timers` and streams throw when the signal reached them is a death by that signal too.
    if (io.signal.aborted && error instanceof Error && error.name === 'AbortError') return TERMINATED;
    io.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    return codeReport(1);
  }
}

/** Resolves when the reader has taken everything, or is gone. */
function flush(sink: Writable): Promise<void> {
  return new Promise((resolve) => sink.end(() => resolve()));
}

function codeReport(exitCode: number): ExitReport {
  return { exitCode, signal: null, isOutOfMemory: false };
}

interface Pipe {
  readonly sink: Writable;
  readonly source: Readable;
  /** The reader gets what was written until now and then the end; what is written later is dropped, as for a dead process. */
  close(): void;
  /** While it is held, what is written waits. */
  hold(isHeld: boolean): void;
}

/** A pipe whose two ends live and die apart, as those of a process do. */
function createPipe(onChunk: (chunk: Buffer) => void): Pipe {
  let isClosed = false;
  let waiting: (() => void) | undefined;
  let isHeld = false;
  let held: (() => void) | undefined;
  const whenAwake = (run: () => void): void => {
    if (isHeld && !isClosed) held = run;
    else run();
  };
  const goOn = () => {
    const resume = waiting;
    waiting = undefined;
    resume?.();
  };
  const source = new Readable({ read: goOn, destroy: closeAnd });
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      whenAwake(() => {
        if (isClosed) return done();
        onChunk(chunk);
        if (source.push(chunk)) done();
        else waiting = done;
      });
    },
    final(done) {
      whenAwake(() => {
        close();
        done();
      });
    },
    // Destroying the writing end is how a peer goes away: the reader sees the end.
    destroy: closeAnd,
  });
  sink.on('error', dropLateWrite);
  function closeAnd(error: Error | null, done: (error: Error | null) => void): void {
    close();
    done(error);
  }
  function close(): void {
    if (isClosed) return;
    isClosed = true;
    if (!source.destroyed) source.push(null);
    goOn();
    letGo();
  }
  function letGo(): void {
    const run = held;
    held = undefined;
    run?.();
  }
  return {
    sink,
    source,
    close,
    hold(wanted) {
      isHeld = wanted;
      if (!wanted) letGo();
    },
  };
}

function dropLateWrite(): void {
  // Writing after the end: nobody is there to read it, and the exit report says why.
}
