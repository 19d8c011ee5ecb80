// The same suite for a server that is not root: namespaces of users instead of root's own, limits on each process
// instead of control groups. As root this process becomes an ordinary one first; a test file has its process to itself.
import { chmodSync, copyFileSync, existsSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { KNOWN_SKIPS } from '../conformance/known-skips.ts';
import { posixCommand, runtimeConformance } from '../conformance.ts';
import { createBubblewrapDriver } from './driver.ts';
import { bubblewrapMissing, testDirectory } from './test-host.ts';

const ORDINARY = 1000;

if (process.getuid?.() === 0) {
  process.setgroups?.([]);
  process.setgid?.(ORDINARY);
  process.setuid?.(ORDINARY);
}
const directory = testDirectory();
after(() => directory.remove());
chmodSync(directory.path, 0o755);
// The checkout may lie where only its owner can look.
const nodePath = path.join(directory.path, 'node');
if (existsSync(process.execPath)) copyFileSync(process.execPath, nodePath);
else copyFileSync('/proc/self/exe', nodePath);
chmodSync(nodePath, 0o755);
const options = { stateDirectory: path.join(directory.path, 'state'), nodePath, limits: null };
const missing = await bubblewrapMissing(options);

if (missing === false) {
  // A namespace of users counts its processes by itself, so this limit holds.
  const { 'the limit on processes bites': _kept, ...skips } = KNOWN_SKIPS.bubblewrap ?? {};
  runtimeConformance({
    name: 'bubblewrap without root',
    skips,
    createDriver: () => createBubblewrapDriver({ ...options, log: silentLogger }),
    command: posixCommand,
  });
} else test('runtime driver: bubblewrap without root', { skip: missing }, () => undefined);
