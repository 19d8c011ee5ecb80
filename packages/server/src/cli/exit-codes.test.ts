import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import { isProblemCode, PROBLEM_KINDS, PROBLEMS, type ProblemKind } from '@cloister/api';
import { startCliProcess } from '../../test/support/cli-process.ts';
import { EXIT_BY_KIND, exitCodeOfKind, exitCodeOfStatus } from './exit-code-of.ts';
import { EXIT, EXIT_HELP, EXIT_MEANINGS } from './exit-codes.ts';

const PAGE = readFileSync(path.resolve(import.meta.dirname, '../../../../docs/cli.md'), 'utf8');
const KINDS = Object.keys(PROBLEM_KINDS) as ProblemKind[]; // its own names

interface Row {
  readonly code: number;
  readonly meaning: string;
  readonly kinds: readonly string[];
}

const inOrder = (rows: readonly Row[]) => rows.map((row) => ({ ...row, kinds: row.kinds.toSorted() })).toSorted((a, b) => a.code - b.code);

describe('exit codes', () => {
  it('are in docs/cli.md as they are in the program, with the kinds of problem that end in each', () => {
    const documented = [...PAGE.matchAll(/^\| (\d+) \| ([^|]*?) \| ([^|]*?) \|$/gm)].map(([, code, meaning = '', kinds = '']) => ({
      code: Number(code),
      meaning,
      kinds: [...kinds.matchAll(/`(\w+)`/g)].map(([, kind = '']) => kind),
    }));
    const ours = (Object.keys(EXIT) as (keyof typeof EXIT)[]).map((name) => ({
      code: EXIT[name],
      meaning: EXIT_MEANINGS[name],
      kinds: KINDS.filter((kind) => EXIT_BY_KIND[kind] === name),
    }));
    assert.deepEqual(inOrder(documented), inOrder(ours));
    for (const { code, meaning } of ours) assert.ok(EXIT_HELP.includes(`\n  ${String(code).padEnd(4)} ${meaning}\n`), String(code));
  });

  it('follow the kind of what a server answers, and its status where the kind is not known', async () => {
    let kind: ProblemKind = 'invalid';
    let isKnown = true;
    const server = createServer((_, response) => {
      const { status, type } = PROBLEM_KINDS[kind];
      const code = Object.keys(PROBLEMS).find((one) => isProblemCode(one) && PROBLEMS[one].kind === kind);
      const error = { type, code: isKnown ? code : 'of_a_newer_server', message: 'It is so.', fix: 'Do otherwise.' };
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ type: 'error', error, request_id: 'req_1' }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using cli = startCliProcess({ CLOISTER_URL: url, CLOISTER_API_KEY: 'clst_any' });
    try {
      for (kind of KINDS)
        for (isKnown of [true, false]) {
          const { code, stdout, stderr } = await cli.run(['agents', 'list', '--json']);
          assert.deepEqual([kind, code, stdout], [kind, exitCodeOfKind(kind), ''], stderr);
          assert.match(stderr, /error: [\s\S]*Fix: Do otherwise\.\n {2}Request: req_1/);
        }
    } finally {
      server.close();
    }
    assert.deepEqual([exitCodeOfStatus(418), exitCodeOfStatus(599)], [EXIT.rejected, EXIT.failed]);
  });
});
