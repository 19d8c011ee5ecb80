import type { Kit } from './kit.ts';

/** Ways to other machines and to the host's ports. */
export async function attackNetwork(kit: Kit): Promise<void> {
  const os = process.getBuiltinModule('node:os');
  const { input } = kit;
  const reach = async (id: string, what: string, targets: readonly (readonly [string, number])[]) => {
    const seen = await Promise.all(targets.map(async ([host, port]) => ({ host, port, how: await kit.dial({ host, port }) })));
    const got = seen.filter(({ how }) => how === 'connected').map(({ host, port }) => `${host}:${port}`);
    kit.tell(id, what, { got, how: seen.map(({ how }) => how) });
  };
  const cards = Object.keys(os.networkInterfaces()).filter((name) => name !== 'lo');
  kit.tell('network-cards', 'a network card of any kind', { got: cards, how: ['only the own loopback'] });
  await reach('internet', 'TCP to the internet', [
    ['1.1.1.1', 443],
    ['8.8.8.8', 53],
    ['2606:4700:4700::1111', 443],
  ]);
  await reach('metadata', 'the metadata services of clouds', [
    ['169.254.169.254', 80],
    ['169.254.170.2', 80],
    ['168.63.129.16', 80],
    ['100.100.100.200', 80],
    ['fd00:ec2::254', 80],
  ]);
  const hosts = ['127.0.0.1', '::1', '0.0.0.0', 'localhost', 'host.docker.internal', 'host.containers.internal', ...input.hostAddresses];
  await reach(
    'host-ports',
    "the host's ports: loopback, gateway, bridges",
    hosts.map((host) => [host, input.hostPort] as const),
  );
  const near = ['127.0.0.1', ...[1, 2, 3, 4, 5].map((last) => `172.17.0.${last}`), '10.88.0.2', '10.0.2.2'];
  await reach(
    'other-sandboxes',
    "another sandbox's port",
    near.map((host) => [host, input.neighbourPort] as const),
  );
}

/** Names, and what can be told by asking for them. */
export async function attackNames(kit: Kit): Promise<void> {
  const dns = process.getBuiltinModule('node:dns');
  const dgram = process.getBuiltinModule('node:dgram');
  const { input } = kit;
  const name = await dns.promises.lookup('example.org').then(
    ({ address }) => address,
    (error: NodeJS.ErrnoException) => error.code ?? 'refused',
  );
  const isResolved = /^[\d.:a-f]+$/.test(name) && /[.:]/.test(name);
  const ask = (server: string) =>
    new Promise<string>((resolve) => {
      const socket = dgram.createSocket(server.includes(':') ? 'udp6' : 'udp4');
      const end = (seen: string) => {
        socket
          .removeAllListeners()
          .on('error', () => undefined)
          .close();
        resolve(seen);
      };
      // A query for TXT of data.example.org, as a tunnel would send it.
      const query = Buffer.from('1234010000010000000000000464617461076578616d706c65036f72670000100001', 'hex');
      socket.once('message', () => end('answered')).once('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'refused'));
      socket.send(query, 53, server, (error) =>
        error === null ? void kit.wait(700).then(() => end('no answer')) : end((error as NodeJS.ErrnoException).code ?? 'refused'),
      );
    });
  const answers = await Promise.all(['8.8.8.8', '1.1.1.1', '127.0.0.11', ...input.resolvers].map(ask));
  const got = [...(isResolved ? [`example.org is ${name}`] : []), ...(answers.includes('answered') ? ['a name server answered'] : [])];
  kit.tell('dns', 'names by the resolver, and a DNS tunnel to any name server', { got, how: [name, ...answers] });
}

/** The one way out there is, used for what it is not for. */
export async function attackGateway(kit: Kit): Promise<void> {
  const net = process.getBuiltinModule('node:net');
  const { input } = kit;
  const ask = (head: string) =>
    new Promise<string>((resolve) => {
      const socket = net.connect({ path: input.gatewaySocket, timeout: 4000 });
      let answer = '';
      const end = (seen: string) => {
        socket.destroy();
        resolve(seen);
      };
      socket.once('timeout', () => end(answer === '' ? 'no answer' : answer));
      socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'refused')).once('close', () => end(answer));
      socket.on('data', (chunk) => {
        answer += chunk.toString('latin1');
        if (answer.includes('\r\n')) end(answer.split('\r\n', 1)[0] ?? '');
      });
      socket.write(head);
    });
  const port = input.hostPort;
  const inside = [
    `localhost:${port}`,
    `127.0.0.1:${port}`,
    `[::1]:${port}`,
    `[::ffff:127.0.0.1]:${port}`,
    `2130706433:${port}`,
    `0x7f000001:${port}`,
    `0:${port}`,
  ];
  const far = [
    '169.254.169.254:80',
    'metadata.google.internal:80',
    '10.0.0.1:80',
    '192.168.0.1:443',
    '[fd00:ec2::254]:80',
    '[64:ff9b::7f00:1]:80',
  ];
  const tunnels = [
    ...inside,
    ...far,
    ...input.hostAddresses.map((address) => `${address.includes(':') ? `[${address}]` : address}:${port}`),
  ];
  const seen = await Promise.all(tunnels.map(async (to) => ({ to, how: await ask(`CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n`) })));
  const plain = await Promise.all(
    [`http://localhost:${port}/`, 'http://169.254.169.254/latest/meta-data/'].map(async (to) => ({
      to,
      how: await ask(`GET ${to} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    })),
  );
  const open = [...seen, ...plain].filter(({ how }) => / 2\d\d|^no answer$/.test(how));
  const how = [...seen, ...plain].map(({ how: line }) => line.replace(/^HTTP\/1\.1 /, ''));
  kit.tell('gateway-addresses', 'tunnels through the gateway to the host, private and metadata addresses, also under allowed names', {
    got: open.map(({ to, how: line }) => `${to} (${line})`),
    how,
  });
  const strange = await Promise.all(
    ['/admin', '/anthropic/../../v1/agents', '/anthropic/v1/organizations', '/v1/agents'].map(async (path) => ({
      path,
      how: await ask(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    })),
  );
  kit.tell('gateway-paths', "the gateway's routes that are no model call", {
    got: strange.filter(({ how: line }) => / 2\d\d/.test(line)).map(({ path }) => path),
    how: strange.map(({ how: line }) => line.replace(/^HTTP\/1\.1 /, '')),
  });
}

/** The sockets of others. */
export async function attackSockets(kit: Kit): Promise<void> {
  const fs = process.getBuiltinModule('node:fs');
  const { input } = kit;
  const directory = input.gatewaySocket.slice(0, input.gatewaySocket.lastIndexOf('/'));
  const link = '/workspace/neighbour.sock';
  kit.tryTo(() => fs.symlinkSync(input.neighbourSocket, link));
  const reached = [
    await kit.dial({ path: input.neighbourSocket }),
    await kit.dial({ path: link }),
    await kit.dial({ path: `${directory}/../${input.neighbourSocket.split('/').at(-2)}/gateway.sock` }),
  ];
  kit.tell('gateway-of-another', "another sandbox's gateway socket, by path and by symlink", {
    got: reached.filter((one) => one === 'connected'),
    how: reached,
  });
  const taken = [
    kit.tryTo(() => fs.linkSync(input.gatewaySocket, '/workspace/gateway.sock')),
    kit.tryTo(() => fs.unlinkSync(input.gatewaySocket)),
    kit.tryTo(() => fs.writeFileSync(`${directory}/x`, '')),
  ];
  kit.tell('gateway-socket', 'the gateway socket carried off, removed or replaced', {
    got: taken.filter((one) => one === 'ok'),
    how: taken,
  });
  const abstract = await kit.dial({ path: `\0${input.abstractSocket}` });
  kit.tell('abstract-sockets', "the host's unix sockets without a file", {
    got: abstract === 'connected' ? [input.abstractSocket] : [],
    how: [abstract],
  });
}
