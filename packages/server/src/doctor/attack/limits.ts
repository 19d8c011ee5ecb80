import type { Kit } from './kit.ts';

/** Takes all of everything, within bounds of its own that are a little above the limits. */
export async function attackLimits(kit: Kit): Promise<void> {
  const fs = process.getBuiltinModule('node:fs');
  const { input } = kit;
  const fill = (place: string, bound: number): readonly [string, number] => {
    const block = Buffer.alloc(1 << 20, 1);
    let written = 0;
    const how = kit.tryTo(() => {
      const file = fs.openSync(place, 'w');
      try {
        while (written < bound) written += fs.writeSync(file, block);
      } finally {
        fs.closeSync(file);
      }
    });
    kit.tryTo(() => fs.rmSync(place));
    return [how, written];
  };
  for (const [id, place] of [
    ['disk-fill', '/tmp/fill'],
    ['shm-fill', '/dev/shm/fill'],
  ] as const) {
    const [how, written] = fill(place, input.tmpBytes + (4 << 20));
    kit.tell(id, `filling ${place.slice(0, place.lastIndexOf('/'))}`, {
      got: how === 'ok' ? [`${written} bytes`] : [],
      how: [`${how} after ${written >> 20} MiB`],
    });
  }
  const most = Math.max(1024, Math.floor(input.tmpBytes / 4096)) + 64;
  fs.mkdirSync('/tmp/files');
  let count = 0;
  const full = kit.tryTo(() => {
    for (; count < most; count += 1) fs.closeSync(fs.openSync(`/tmp/files/${count}`, 'w'));
  });
  fs.rmSync('/tmp/files', { recursive: true, force: true });
  kit.tell('inode-fill', 'filling /tmp with empty files', {
    got: full === 'ok' ? [`${count} files`] : [],
    how: [`${full} after ${count} files`],
  });
  const open: number[] = [];
  const files = kit.tryTo(() => {
    for (; open.length < 70_000; ) open.push(fs.openSync('/dev/null', 'r'));
  });
  for (const file of open) fs.closeSync(file);
  kit.tell('open-files', 'open files without end', {
    got: files === 'ok' ? [`${open.length}`] : [],
    how: [`${files} after ${open.length}`],
  });
}

/** The files that outlive the sandbox: its workspace, where a quota has to hold what /tmp's size cannot. */
export async function attackWorkspace(kit: Kit): Promise<void> {
  const fs = process.getBuiltinModule('node:fs');
  const { input } = kit;
  const block = Buffer.alloc(1 << 20, 1);
  let written = 0;
  const how = kit.tryTo(() => {
    const file = fs.openSync('/workspace/fill', 'w');
    try {
      while (written < input.workspaceBytes) written += fs.writeSync(file, block);
    } finally {
      fs.closeSync(file);
    }
  });
  kit.tryTo(() => fs.rmSync('/workspace/fill'));
  kit.tell('workspace-fill', 'filling the workspace', {
    got: how === 'ok' ? [`${written >> 20} MiB`] : [],
    how: [`${how} after ${written >> 20} MiB`],
  });
  let count = 0;
  kit.tryTo(() => fs.mkdirSync('/workspace/files'));
  const full = kit.tryTo(() => {
    for (; count < input.workspaceFiles; count += 1) fs.closeSync(fs.openSync(`/workspace/files/${count}`, 'w'));
  });
  fs.rmSync('/workspace/files', { recursive: true, force: true });
  kit.tell('workspace-inodes', 'filling the workspace with empty files', {
    got: full === 'ok' ? [`${count} files`] : [],
    how: [`${full} after ${count} files`],
  });
}

/** Processes and memory, last: should all be killed, the host sees that too. */
export async function attackMemory(kit: Kit): Promise<void> {
  const childProcess = process.getBuiltinModule('node:child_process');
  const { input } = kit;
  const children: import('node:child_process').ChildProcess[] = [];
  let refused = '';
  for (let n = 0; n < input.pids + 40 && refused === ''; n += 1) {
    const child = childProcess.spawn('sleep', ['20'], { stdio: 'ignore' });
    children.push(child.on('error', (error: NodeJS.ErrnoException) => (refused ||= error.code ?? 'refused')));
    await kit.wait(0);
  }
  await kit.wait(50);
  const alive = children.filter(({ pid }) => pid !== undefined).length;
  await Promise.all(
    children.map((child) => new Promise((resolve) => (child.pid === undefined ? resolve(0) : child.once('exit', resolve).kill('SIGKILL')))),
  );
  kit.tell('fork-bomb', 'processes without end', {
    got: alive > input.pids ? [`${alive} processes`] : [],
    how: [`${refused} after ${alive} processes`],
  });

  // The child is the larger, so it goes first; should all go, the host sees that too.
  const hog =
    'const held = []; for (let n = 1; ; n += 1) { held.push(Buffer.alloc(8 << 20, 1)); console.log(n * 8); if (n * 8 > Number(process.argv[1])) break; }';
  const bound = (input.memoryBytes >> 20) * 2;
  const eaten = childProcess.spawnSync(process.execPath, ['-e', hog, String(bound)], { encoding: 'utf8', timeout: 20_000 });
  const last = Number(eaten.stdout.trim().split('\n').at(-1) ?? 0);
  kit.tell('memory', 'memory without end', {
    got: last > bound ? [`${last} MiB`] : [],
    how: [`${eaten.signal ?? `exit code ${eaten.status}`} after ${last} MiB`],
  });
}
