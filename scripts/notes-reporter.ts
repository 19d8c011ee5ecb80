// A reporter for node:test that writes down which tests were skipped and why and how long each file took, one JSON
// record a line, so that `npm test` can close with the list of what could not run and of what takes its time.
import path from 'node:path';
import type { TestEvent } from 'node:test/reporters';

export type TestRecord =
  | { readonly type: 'skip'; readonly name: string; readonly file: string; readonly reason: string }
  | { readonly type: 'file'; readonly file: string; readonly seconds: number }
  | { readonly type: 'total'; readonly ran: number };

async function* notes(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let ran = 0;
  for await (const event of source) {
    if (event.type === 'test:summary' && event.data.file !== undefined)
      yield line({ type: 'file', file: placeOf(event.data.file), seconds: event.data.duration_ms / 1000 });
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { name, skip, file, details } = event.data;
    if (skip === undefined || skip === false) {
      if (details.type !== 'suite') ran += 1;
      continue;
    }
    const place = file === undefined ? 'unknown file' : placeOf(file);
    const reason = typeof skip === 'string' && skip !== '' ? skip : 'skipped without a reason';
    yield line({ type: 'skip', name, file: place, reason });
  }
  yield line({ type: 'total', ran });
}

function placeOf(file: string): string {
  return path.relative(process.cwd(), file);
}

function line(record: TestRecord): string {
  return `${JSON.stringify(record)}\n`;
}

// biome-ignore lint/style/noDefaultExport: node:test takes a reporter from the default export
export default notes;
