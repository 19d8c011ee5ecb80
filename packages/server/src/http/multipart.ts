import { PlatformError } from '../base/errors.ts';

/** One part of a form, whose body is read as it comes; what is left of it is skipped when the next part is asked for. */
export interface FormPart {
  readonly name: string;
  /** Undefined for a plain field. */
  readonly filename: string | undefined;
  readonly contentType: string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

const MAX_HEADER_BYTES = 16 * 1024;
const MAX_PARTS = 2000;
const CRLF = Buffer.from('\r\n');

/** The parts of a `multipart/form-data` body in their order. Throws `upload_invalid` for another body, or a broken one. */
export async function* readMultipart(source: AsyncIterable<Uint8Array>, contentType: string | undefined): AsyncGenerator<FormPart> {
  const boundary = boundaryOf(contentType);
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  // The first delimiter needs no line before it.
  const bytes = createScanner(source, CRLF);
  try {
    await drain(bytes.until(delimiter));
    for (let count = 0; ; count++) {
      const next = await bytes.take(2);
      if (next.toString('latin1') === '--') return;
      if (!next.equals(CRLF)) throw invalid('has a boundary that does not end its line');
      if (count >= MAX_PARTS) throw invalid(`has more than ${MAX_PARTS} parts`);
      const headers = await readHeaders(bytes);
      const body = bytes.until(delimiter);
      yield { ...headers, body };
      await drain(body);
    }
  } finally {
    await bytes.close();
  }
}

function boundaryOf(contentType: string | undefined): string {
  const [type, ...rest] = (contentType ?? '').split(';');
  const [, quoted, plain] = /(?:^|;)\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(rest.join(';')) ?? [];
  const boundary = quoted ?? plain;
  if (type?.trim().toLowerCase() === 'multipart/form-data' && boundary !== undefined) return boundary;
  throw invalid('is no multipart/form-data with a boundary');
}

async function readHeaders(bytes: Scanner): Promise<Omit<FormPart, 'body'>> {
  const chunks: Buffer[] = [];
  let size = 0;
  // A part without headers ends them with the line that began them.
  for await (const chunk of bytes.until(Buffer.from('\r\n\r\n'))) {
    size += chunk.length;
    if (size > MAX_HEADER_BYTES) throw invalid('has a part with too many headers');
    chunks.push(chunk);
  }
  const lines = Buffer.concat(chunks).toString('utf8').split('\r\n');
  const value = (name: string) =>
    lines
      .find((line) => line.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  const disposition = value('content-disposition') ?? '';
  const name = parameter(disposition, 'name');
  if (!/^form-data\s*(;|$)/i.test(disposition) || name === undefined) throw invalid('has a part without a name');
  return { name, filename: parameter(disposition, 'filename'), contentType: value('content-type') };
}

/** As browsers and the usual clients write it: quoted, with `%22` for a quote. */
function parameter(disposition: string, name: string): string | undefined {
  const match = new RegExp(`;\\s*${name}="((?:[^"\\\\]|\\\\.)*)"`, 'i').exec(disposition);
  const plain = match === null ? new RegExp(`;\\s*${name}=([^\\s;"]+)`, 'i').exec(disposition)?.[1] : undefined;
  const text = match?.[1]?.replaceAll(/\\(.)/g, '$1') ?? plain;
  return text?.replaceAll('%22', '"').replaceAll(/%0[aAdD]/g, ' ');
}

interface Scanner {
  take(count: number): Promise<Buffer>;
  /** The bytes before the delimiter, which is passed over. However often it is asked for, it goes on where it was. */
  until(delimiter: Buffer): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

function createScanner(source: AsyncIterable<Uint8Array>, first: Buffer): Scanner {
  const iterator = source[Symbol.asyncIterator]();
  let held: Buffer = Buffer.from(first);
  async function fill(): Promise<void> {
    const next = await iterator.next();
    if (next.done === true) throw invalid('breaks off before its last boundary');
    held = Buffer.concat([held, next.value]);
  }
  return {
    async take(count) {
      while (held.length < count) await fill();
      const taken = held.subarray(0, count);
      held = held.subarray(count);
      return taken;
    },
    until(delimiter) {
      let isOver = false;
      async function next(): Promise<IteratorResult<Buffer, undefined>> {
        while (!isOver) {
          const at = held.indexOf(delimiter);
          const end = at >= 0 ? at : Math.max(0, held.length - delimiter.length + 1);
          const part = held.subarray(0, end);
          held = held.subarray(at >= 0 ? end + delimiter.length : end);
          isOver = at >= 0;
          if (part.length > 0) return { done: false, value: part };
          if (!isOver) await fill();
        }
        return { done: true, value: undefined };
      }
      return { [Symbol.asyncIterator]: () => ({ next }) };
    },
    close: async () => void (await iterator.return?.()),
  };
}

async function drain(chunks: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of chunks);
}

function invalid(why: string): PlatformError {
  return new PlatformError('upload_invalid', { detail: `The upload ${why}.` });
}
