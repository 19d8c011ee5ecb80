import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { testSealer } from '../../test/support/sealer.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { silentLogger } from '../base/log.ts';
import { aadOf, parseSealed } from '../core/sealing.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { Store } from '../store/store.ts';
import { openSecret } from './envelope.ts';
import { parseKeks } from './keyring.ts';
import { createKeyRotation } from './rotation.ts';
import { openSealing } from './sealing.ts';
import { createUpgrade, variableAad, webhookAad } from './upgrade.ts';

const clock = systemClock;
const isUnreadable = (error: unknown) => isPlatformError(error, 'secret_unreadable');

describe('a sealed secret', () => {
  const sealer = testSealer();
  const aad = aadOf('tnt_1', 'vcrd_1', 1);
  const sealed = sealer.seal('a secret that is sealed', aad);

  test('opens with its own associated data, and is never the same text twice', () => {
    assert.equal(openSecret(sealer, sealed, aad), 'a secret that is sealed');
    assert.notEqual(sealer.seal('a secret that is sealed', aad), sealed);
    assert.equal(sealer.open(sealer.seal('', aad), aad), '');
  });

  for (const [what, other] of [
    ['tenant', aadOf('tnt_2', 'vcrd_1', 1)],
    ['record', aadOf('tnt_1', 'vcrd_2', 1)],
    ['version', aadOf('tnt_1', 'vcrd_1', 2)],
  ] as const)
    test(`does not open for another ${what}`, () => assert.throws(() => sealer.open(sealed, other), isUnreadable));

  test('does not open when a bit of it is changed, or a part is of another', () => {
    const parts = sealed.split('.');
    const another = sealer.seal('another secret', aad).split('.');
    for (const at of [3, 4]) {
      const bytes = Buffer.from(parts[at] ?? '', 'base64url');
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      assert.throws(() => sealer.open(parts.with(at, bytes.toString('base64url')).join('.'), aad), isUnreadable);
      assert.throws(() => sealer.open(parts.with(at, another[at] ?? '').join('.'), aad), isUnreadable);
      assert.throws(() => sealer.open(parts.with(at, 'AAAA').join('.'), aad), isUnreadable);
    }
    assert.throws(() => sealer.open('no sealed text', aad), isUnreadable);
    assert.throws(
      () => sealer.open(parts.with(2, 'kek_none').join('.'), aad),
      (error) => isPlatformError(error, 'encryption_key_missing'),
    );
  });
});

describe('keys are refused', () => {
  const random = randomBytes(32);
  const cases: Readonly<Record<string, string>> = {
    'that are words': 'changeme',
    'that are too short': randomBytes(16).toString('base64'),
    'that are too long': randomBytes(33).toString('base64'),
    'of zeros': Buffer.alloc(32).toString('hex'),
    'that count': Buffer.from(Array.from({ length: 32 }, (_, index) => index)).toString('base64'),
    'that are a sentence in base64': Buffer.from('correct horse battery staple now').toString('base64'),
    'that repeat themselves': Buffer.concat([
      random.subarray(0, 8),
      random.subarray(0, 8),
      random.subarray(0, 8),
      random.subarray(0, 8),
    ]).toString('hex'),
    'with one id twice': `a:${random.toString('hex')} a:${randomBytes(32).toString('hex')}`,
  };
  for (const [what, text] of Object.entries(cases))
    test(what, () =>
      assert.throws(
        () => parseKeks('CLOISTER_KEK', text),
        (error) => isPlatformError(error, 'config_invalid') && error.detail.startsWith('CLOISTER_KEK: ') && !error.detail.includes(text),
      ),
    );

  test('and taken in hex, base64 and with ids, comments and spaces aside', () => {
    const other = randomBytes(32);
    const text = `# the newest first\n2026:${random.toString('base64')}\n\n${other.toString('hex')} # the former\n`;
    const [first, second] = parseKeks('CLOISTER_KEK', text);
    assert.deepEqual([first?.id, first?.key], ['2026', random]);
    assert.deepEqual(second?.key, other);
    assert.match(second?.id ?? '', /^kek_[0-9a-f]{12}$/);
  });
});

describe('the keys of an installation', () => {
  async function setUp(text?: string) {
    const dataDir = await mkdtemp(path.join(tmpdir(), 'kek-'));
    const store = await openSqliteStore({ file: path.join(dataDir, 'a.db'), clock });
    const kekFile = text === undefined ? undefined : path.join(dataDir, 'mine');
    const write = (keys: string) => writeFile(kekFile ?? '', keys, { mode: 0o600 });
    if (text !== undefined) await write(text);
    const open = () =>
      openSealing({
        store: store.sealed,
        clock,
        log: silentLogger,
        dataDir,
        settings: { kek: undefined, kekFile },
        isAlone: async () => bench.isAlone,
      });
    const bench = {
      isAlone: true,
      dataDir,
      store,
      write,
      open,
      async server() {
        const sealing = await open();
        return {
          ...sealing,
          rotation: createKeyRotation({ store: store.sealed, sealing, clock, log: silentLogger, upgrade: createUpgrade(sealing.sealer) }),
        };
      },
      async [Symbol.asyncDispose]() {
        await store.close();
        await rm(dataDir, { recursive: true });
      },
    };
    return bench;
  }

  const put = async (store: Store, count: number, seal: (id: string) => string) => {
    const vault = { tenantId: 'default', displayName: 'v', metadata: {}, isDefault: false, agentIds: [], max: 9, now: 1 };
    await store.vaults.create({ ...vault, id: 'vlt_1' });
    const rest = {
      tenantId: 'default',
      vaultId: 'vlt_1',
      kind: 'http',
      displayName: null,
      metadata: {},
      auth: {},
      max: 1000,
      now: 1,
    } as const;
    for (let index = 0; index < count; index++)
      await store.vaults.createCredential({ ...rest, id: `vcrd_${index}`, target: `${index}`, sealed: seal(`vcrd_${index}`) });
  };
  const texts = async (store: Store) => {
    const rows = await store.sealed.page({ table: 'vault_credentials', after: { tenantId: '', id: '' }, limit: 1000 });
    return rows.map(({ text }) => text);
  };

  test('are made on the first start for their owner alone, and found on the next', async () => {
    await using bench = await setUp();
    const first = (await bench.open()).sealer.currentKeyId;
    const file = path.join(bench.dataDir, 'keys', `${first}.kek`);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.equal((await stat(path.dirname(file))).mode & 0o777, 0o700);
    assert.equal((await bench.open()).sealer.currentKeyId, first);
    const text = await readFile(file, 'utf8');
    for (const suffix of ['', '-wal'])
      assert.ok(!(await readFile(path.join(bench.dataDir, `a.db${suffix}`), 'latin1')).includes(text.trim().split(':')[1] ?? '?'));
  });

  test('change under two servers at once: every secret ends under the new one, and each opens all the while', async () => {
    await using bench = await setUp();
    const [one, two] = [await bench.server(), await bench.server()];
    const aad = (id: string) => aadOf('default', id, 1);
    await put(bench.store, 250, (id) => one.sealer.seal(`secret of ${id}`, aad(id)));
    const before = one.sealer.currentKeyId;
    const { keyId, isNew } = await one.rotation.rotate();
    assert.ok(isNew && keyId !== before);
    await two.rotation.rotate();
    for (const [index, text] of (await texts(bench.store)).entries())
      assert.match(two.sealer.open(text, aad(`vcrd_${[...Array(250).keys()].map(String).sort()[index]}`)), /^secret of/);
    await Promise.all([one.rotation.settled(), two.rotation.settled()]);
    const current = two.sealer.currentKeyId;
    const left = (await texts(bench.store)).filter((text) => parseSealed(text)?.keyId !== current);
    // Both may have rotated; whoever was later has the last word, and repeats what is left.
    if (left.length > 0) {
      await two.rotation.rotate();
      await two.rotation.settled();
    }
    assert.deepEqual(new Set((await texts(bench.store)).map((text) => parseSealed(text)?.keyId)).size, 1);
  });

  test('go on after a stop in the middle, and the former one goes when nothing needs it', async () => {
    await using bench = await setUp(`old:${randomBytes(32).toString('base64')}`);
    const first = await bench.server();
    await put(bench.store, 120, (id) => first.sealer.seal('x', aadOf('default', id, 1)));
    const old = await readFile(path.join(bench.dataDir, 'mine'), 'utf8');
    await bench.write(`new:${randomBytes(32).toString('base64')}\n${old}`);
    await waitFor(
      async () => {
        first.ring.reload();
        return first.ring.find('new');
      },
      { timeoutMs: 10_000, what: 'the file to be read again' },
    );
    assert.deepEqual(await first.rotation.rotate(), { keyId: 'new', isNew: true });
    await first.rotation.stop();
    const uses = async (rotation: typeof first.rotation) =>
      Object.fromEntries((await rotation.list()).map(({ id, uses: number, isCurrent }) => [id, [number, isCurrent]]));
    const half = (await uses(first.rotation)).old?.[0];
    assert.ok(typeof half === 'number' && half > 0, `${half} are left`);
    await assert.rejects(first.rotation.remove('old'), (error) => isPlatformError(error, 'encryption_key_in_use'));
    await bench.write(`new2:${randomBytes(32).toString('base64')}`);
    await assert.rejects(bench.open(), (error) => isPlatformError(error, 'encryption_key_missing') && /key (old|new),/.test(error.detail));
    await bench.write(`${await readFile(path.join(bench.dataDir, 'mine'), 'utf8')}\n${old}`);
  });

  test('are not replaced by those of a second server, which then keeps no secrets', async () => {
    await using bench = await setUp(`theirs:${randomBytes(32).toString('base64')}`);
    const theirs = await bench.open();
    await bench.write(`ours:${randomBytes(32).toString('base64')}`);
    bench.isAlone = false;
    const ours = await bench.open();
    assert.throws(
      () => ours.sealer.seal('x', 'y'),
      (error) => isPlatformError(error, 'encryption_key_missing') && error.detail.includes('theirs'),
    );
    assert.equal(theirs.sealer.currentKeyId, 'theirs');
    // With nobody else, and nothing sealed, a lost key stops nobody.
    bench.isAlone = true;
    assert.equal((await bench.open()).sealer.currentKeyId, 'ours');
  });

  test('seal at the start what was written before there was sealing', async () => {
    await using bench = await setUp();
    const { store } = bench;
    const secret = 'whsec_c2VjcmV0IG9mIGJlZm9yZQ==';
    const hook = {
      tenantId: 'default',
      id: 'whk_1',
      url: 'https://a.example',
      events: ['*'],
      description: null,
      metadata: {},
      max: 9,
      now: 1,
    };
    await store.webhooks.create({ ...hook, secret });
    const spec = { image: 'any', env: { TOKEN: 'a-token-of-before' } };
    await store.services.create({
      tenantId: 'default',
      id: 'svc_1',
      hostId: 'h',
      name: 's',
      spec,
      metadata: {},
      ports: { first: 19_000, last: 19_009 },
      max: 9,
      now: 1,
    });
    const { rotation, sealer } = await bench.server();
    await rotation.start();
    await rotation.settled();
    const [kept] = (await store.webhooks.find(hook))?.secrets ?? [];
    assert.equal(sealer.open(kept?.value ?? '', webhookAad('default', 'whk_1')), secret);
    const [row] = await store.sealed.page({ table: 'services', after: { tenantId: '', id: '' }, limit: 1 });
    assert.ok(row && !row.text.includes('a-token-of-before'));
    const { env }: { readonly env: Readonly<Record<string, string>> } = JSON.parse(row.text);
    assert.equal(sealer.open(env.TOKEN ?? '', variableAad('default', 'svc_1', 'TOKEN')), 'a-token-of-before');
    await rotation.stop();
  });
});
