import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { createConnector } from './connector.ts';
import { createDnsResolve } from './dns.ts';

const A = 1;
const AAAA = 28;

/** A name server with one address of each kind for every name; `isSilent` never answers. */
async function startNameServer({ isSilent = false } = {}): Promise<{ readonly address: string; readonly socket: Socket }> {
  const socket = createSocket('udp4');
  socket.on('message', (query, { port, address }) => {
    if (isSilent) return;
    const questionEnd = query.indexOf(0, 12) + 5;
    const type = query.readUInt16BE(questionEnd - 4);
    const data = type === A ? Buffer.from([127, 0, 0, 1]) : Buffer.from('20010db8000000000000000000000001', 'hex');
    const header = Buffer.concat([query.subarray(0, 2), Buffer.from([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])]);
    const answer = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length]);
    assert.ok(type === A || type === AAAA);
    socket.send(Buffer.concat([header, query.subarray(12, questionEnd), answer, data]), port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { address: `127.0.0.1:${socket.address().port}`, socket };
}

describe('looking names up without the host', () => {
  it('answers the addresses of both kinds', async () => {
    const { address, socket } = await startNameServer();
    try {
      assert.deepEqual(await createDnsResolve([address])('receiver.example'), ['127.0.0.1', '2001:db8::1']);
    } finally {
      socket.close();
    }
  });

  it('leaves files and other look-ups alone while name servers keep silent', async () => {
    const { address, socket } = await startNameServer({ isSilent: true });
    try {
      const resolve = createDnsResolve([address]);
      const connect = createConnector({ clock: systemClock, timeoutMs: 300, allowPrivateNetwork: false, resolve });
      const waiting = Array.from({ length: 16 }, (_, index) =>
        assert.rejects(connect.tunnel({ host: `${index}.example`, port: 443 }, new AbortController().signal), /did not resolve in time/),
      );
      const started = performance.now();
      await Promise.all([readFile(import.meta.filename), lookup('localhost')]);
      assert.ok(performance.now() - started < 250, 'a thread was free');
      await Promise.all(waiting);
    } finally {
      socket.close();
    }
  });
});
