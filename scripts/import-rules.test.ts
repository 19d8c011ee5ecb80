import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkFile } from './import-rules.ts';

const cases: readonly { readonly file: string; readonly source: string; readonly refused: boolean; readonly why: string }[] = [
  { file: 'server/src/core/turn.ts', source: "import { x } from '../base/ids.ts';", refused: false, why: 'core sees base' },
  { file: 'server/src/core/turn.ts', source: "import type { Store } from '../store/store.ts';", refused: true, why: 'core sees no port' },
  { file: 'server/src/base/ids.ts', source: "import { x } from '../core/model.ts';", refused: true, why: 'base sees nothing of ours' },
  {
    file: 'server/src/turns/run.ts',
    source: "import type { Store } from '../store/store.ts';",
    refused: false,
    why: 'use cases see seams',
  },
  {
    file: 'server/src/turns/run.ts',
    source: "import { x } from '../store/sqlite/open.ts';",
    refused: true,
    why: 'use cases see no driver',
  },
  { file: 'server/src/turns/run.ts', source: "import { x } from '../http/app.ts';", refused: true, why: 'use cases see no edge' },
  { file: 'server/src/http/app.ts', source: "import { x } from '../turns/run.ts';", refused: false, why: 'edges see use cases' },
  { file: 'server/src/runtime/docker/a.ts', source: "import { x } from '../fake/b.ts';", refused: true, why: 'siblings' },
  { file: 'server/src/runtime/docker/a.ts', source: "import { x } from '../driver.ts';", refused: false, why: 'own seam' },
  {
    file: 'server/src/main.ts',
    source: "import { x } from './runtime/docker/a.ts';",
    refused: false,
    why: 'the composition root sees all',
  },
  { file: 'agent-runner/src/a.ts', source: "import { x } from '@cloister/server/main.ts';", refused: true, why: 'the sandbox' },
  { file: 'agent-runner/src/a.ts', source: "import { x } from '../../server/src/main.ts';", refused: true, why: 'the sandbox, by path' },
  { file: 'dashboard/src/a.ts', source: "import type { Event } from '@cloister/api';", refused: false, why: 'the browser sees api' },
  { file: 'server/src/turns/run.ts', source: "import { Kysely } from 'kysely';", refused: true, why: 'vendor' },
  { file: 'server/src/http/app.ts', source: "import { serve } from '@hono/node-server';", refused: false, why: 'vendor at home' },
  { file: 'server/src/turns/run.ts', source: "const m = await import('hono/streaming');", refused: true, why: 'dynamic and sub-path' },
  { file: 'server/src/turns/run.ts', source: 'const at = Date.now();', refused: true, why: 'time' },
  { file: 'server/src/turns/run.ts', source: '// never Date.now()', refused: false, why: 'comments do not count' },
  { file: 'server/src/turns/run.ts', source: '/**\n * Not Date.now().\n */', refused: false, why: 'nor do docstrings' },
  { file: 'server/src/turns/run.ts', source: 'const at = new Date(row.at);', refused: false, why: 'a given time is no ambient one' },
  { file: 'server/src/http/app.ts', source: "const home = process.env['HOME'];", refused: true, why: 'settings' },
  { file: 'server/src/base/clock.ts', source: 'now: () => Date.now(),', refused: false, why: 'base is the seam' },
];

describe('import rules', () => {
  for (const { file, source, refused, why } of cases)
    it(`${refused ? 'refuse' : 'allow'}: ${why} (${file})`, () => {
      assert.equal(checkFile(file, source).length > 0, refused);
    });

  it('name the line', () => {
    assert.deepEqual(checkFile('server/src/turns/run.ts', "import { Kysely }\n  from 'kysely';"), [
      { file: 'packages/server/src/turns/run.ts', line: 2, message: 'kysely may only be imported in server/src/store/' },
    ]);
  });
});
