import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { makeAuthority, makeLeaf } from '../../src/egress/inspection/certificates.ts';

const run = promisify(execFile);

/** A site with a file, an npm registry of one package, and a git repository, under an authority of its own. */
export interface Upstream extends AsyncDisposable {
  readonly port: number;
  /** The certificate of its authority. */
  readonly caFile: string;
  readonly seen: readonly { readonly method: string; readonly url: string; readonly authorization: string | undefined }[];
}

export interface UpstreamOptions {
  readonly address: string;
  /** The name or address that its certificate is for. */
  readonly host: string;
  /** Whatever does not come with this header is refused. */
  readonly authorization?: string;
  readonly hasGit?: boolean;
}

export async function startUpstream({ address, host, authorization, hasGit = false }: UpstreamOptions): Promise<Upstream> {
  const directory = await mkdtemp(path.join(tmpdir(), 'upstream-'));
  const authority = await makeAuthority('An authority of the test', Date.now());
  const leaf = await makeLeaf(authority, host, 3_600_000, Date.now());
  const caFile = path.join(directory, 'ca.pem');
  await writeFile(caFile, authority.certificate);
  const tarball = await makePackage(directory);
  if (hasGit) await makeRepository(directory);
  const seen: { method: string; url: string; authorization: string | undefined }[] = [];
  const server = createServer({ key: leaf.key, cert: leaf.certificate }, (request, response) => {
    const { method = '', url = '', headers } = request;
    seen.push({ method, url, authorization: headers.authorization });
    if (authorization !== undefined && headers.authorization !== authorization) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end('who are you?');
    } else if (url === '/file.txt') response.end('the file\n');
    else if (url.startsWith('/repo.git/')) serveGit(directory, request, response);
    else if (url === '/tiny-package') response.end(packument(`https://${headers.host}/tiny.tgz`, tarball));
    else if (url === '/tiny.tgz') response.end(tarball);
    else response.writeHead(404).end('not here');
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    // As: a server that listens on TCP has an address of this form.
    port: (server.address() as AddressInfo).port,
    caFile,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A name server that has one IPv4 address for every name. */
export async function startNameServer(address: string): Promise<AsyncDisposable & { readonly address: string }> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const questionEnd = query.indexOf(0, 12) + 5;
    const isIpv4 = query.readUInt16BE(questionEnd - 4) === 1;
    const header = Buffer.concat([query.subarray(0, 2), Buffer.from([0x81, 0x80, 0, 1, 0, isIpv4 ? 1 : 0, 0, 0, 0, 0])]);
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]);
    socket.send(Buffer.concat([header, query.subarray(12, questionEnd), ...(isIpv4 ? [answer] : [])]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${socket.address().port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void socket.close(() => resolve())),
  };
}

async function makePackage(directory: string): Promise<Buffer> {
  const source = path.join(directory, 'package');
  await mkdir(source);
  await writeFile(path.join(source, 'package.json'), JSON.stringify({ name: 'tiny-package', version: '1.0.0', main: 'index.js' }));
  await writeFile(path.join(source, 'index.js'), "module.exports = 'from the registry';\n");
  await run('tar', ['-czf', path.join(directory, 'tiny.tgz'), '-C', directory, 'package']);
  return readFile(path.join(directory, 'tiny.tgz'));
}

function packument(tarballUrl: string, tarball: Buffer): string {
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
  const version = { name: 'tiny-package', version: '1.0.0', main: 'index.js', dist: { tarball: tarballUrl, integrity } };
  return JSON.stringify({ name: 'tiny-package', 'dist-tags': { latest: '1.0.0' }, versions: { '1.0.0': version } });
}

async function makeRepository(directory: string): Promise<void> {
  const work = path.join(directory, 'work');
  const git = (...args: string[]) =>
    run('git', ['-c', 'user.name=x', '-c', 'user.email=x@example.org', '-c', 'init.defaultBranch=main', ...args], {
      env: { ...process.env, GIT_CONFIG_NOSYSTEM: '1', HOME: directory },
    });
  await git('init', '--quiet', work);
  await writeFile(path.join(work, 'read.me'), 'from the repository\n');
  await git('-C', work, 'add', '.');
  await git('-C', work, 'commit', '--quiet', '-m', 'one');
  await git('clone', '--quiet', '--bare', work, path.join(directory, 'repo.git'));
}

/** The protocol that git's own servers speak, by its own program. */
function serveGit(root: string, request: IncomingMessage, response: ServerResponse): void {
  const [pathInfo = '', query = ''] = (request.url ?? '').split('?');
  const child = spawn('git', ['http-backend'], {
    env: {
      ...process.env,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: pathInfo,
      QUERY_STRING: query,
      REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  request.pipe(child.stdin);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.once('close', () => {
    const all = Buffer.concat(chunks);
    const end = all.indexOf('\r\n\r\n');
    for (const line of all.subarray(0, end).toString().split('\r\n')) {
      const [name = '', value = ''] = line.split(': ');
      if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.end(all.subarray(end + 4));
  });
}
