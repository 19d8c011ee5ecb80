import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { memoryGroup } from './cgroup.ts';

const ID = 'a1b2c3';

/** A host made of plain files: control groups, and a process that is in one. */
async function withHost(
  files: Readonly<Record<string, string>>,
  run: (host: { root: string; proc: string; text: (file: string) => Promise<string> }) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'cloister-cgroup-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
      await writeFile(path.join(folder, name), text);
    }
    await run({
      root: path.join(folder, 'cgroup'),
      proc: path.join(folder, 'proc'),
      text: (file) => readFile(path.join(folder, file), 'utf8'),
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

const SWAP = 'Filename Type Size Used Priority\n/dev/zram0 partition 1 0 100\n';

test('version 1: memory is forced out, and the limit on swap is as it was', async () => {
  const group = `cgroup/memory/docker/${ID}`;
  await withHost(
    {
      'proc/7/cgroup': `5:cpu:/docker/${ID}\n4:memory:/docker/${ID}\n0::/\n`,
      'proc/swaps': SWAP,
      [`${group}/memory.usage_in_bytes`]: '1000\n',
      [`${group}/memory.memsw.limit_in_bytes`]: '4096\n',
      [`${group}/memory.force_empty`]: '',
    },
    async (host) => {
      const found = await memoryGroup(7, ID, host);
      assert.equal(await found?.usage(), 1000);
      assert.equal(await found?.reclaim(), 0, 'plain files give nothing back');
      assert.equal(await host.text(`${group}/memory.force_empty`), '0');
      assert.equal((await host.text(`${group}/memory.memsw.limit_in_bytes`)).trim(), '4096');
    },
  );
});

test('version 2: as much is asked back as is used', async () => {
  const group = `cgroup/system.slice/docker-${ID}.scope`;
  await withHost(
    {
      'proc/7/cgroup': `0::/system.slice/docker-${ID}.scope\n`,
      [`${group}/memory.current`]: '2048\n',
      [`${group}/memory.reclaim`]: '',
    },
    async (host) => {
      assert.equal(await (await memoryGroup(7, ID, host))?.reclaim(), 0);
      assert.equal(await host.text(`${group}/memory.reclaim`), '2048');
    },
  );
});

test('what belongs to somebody else, or cannot be used, is left alone', async () => {
  const files = { 'proc/7/cgroup': `4:memory:/docker/another\n`, 'proc/8/cgroup': `4:memory:/../${ID}\n`, 'proc/9/cgroup': `0::/${ID}\n` };
  await withHost(files, async (host) => {
    for (const pid of [0, 6, 7, 8]) assert.equal(await memoryGroup(pid, ID, host), undefined);
    const bare = await memoryGroup(9, ID, host);
    assert.equal(await bare?.usage(), undefined);
    assert.equal(await bare?.reclaim(), undefined);
  });
});
