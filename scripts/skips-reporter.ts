// A reporter for node:test that writes down which tests were skipped and why, one JSON record a line,
// so that `npm test` can close with the list of what could not run.
import path from 'node:path';
import type { TestEvent } from 'node:test/reporters';

export type TestRecord =
  | { readonly type: 'skip'; readonly name: string; readonly file: string; readonly reason: string }
  | { readonly type: 'total'; readonly ran: number };

async function* skips(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let ran = 0;
  for await (const event of source) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { name, skip, file, details } = event.data;
    if (skip === undefined || skip === false) {
      if (details.type !== 'suite') ran += 1;
      continue;
    }
    const place = file === undefined ? 'unknown file' : path.relative(process.cwd(), file);
    const reason = typeof skip === 'string' && skip !== '' ? skip : 'skipped without a reason';
    yield line({ type: 'skip', name, file: place, reason });
  }
  yield line({ type: 'total', ran });
}

function line(record: TestRecord): string {
  return `${JSON.stringify(record)}\n`;
}

// biome-ignore lint/style/noDefaultExport: node:test takes a reporter from the default export
export default skips;
