import { access, constants, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { CheckDeps, Found } from './checks.ts';

export async function checkSettings({ notes }: Pick<CheckDeps, 'notes'>): Found {
  if (notes.length === 0) return [{ status: 'ok', detail: 'All that are set are known and usable.' }];
  return notes.map((detail) => ({
    status: 'warn',
    detail,
    fix: 'Correct or remove it; `cloister config show` tells where each comes from.',
  }));
}

/** Whoever may write to the engine's socket is root on its host: the server has to, nobody else should. */
export async function checkSocket({ socket }: Pick<CheckDeps, 'socket'>): Found {
  if (socket === undefined) return [];
  const found = await stat(socket).catch(() => undefined);
  if (found === undefined)
    return [
      {
        status: 'fail',
        detail: `There is no socket at ${socket}.`,
        fix: 'Start the engine (`systemctl start docker`), or correct DOCKER_HOST.',
      },
    ];
  if (!found.isSocket()) return [{ status: 'fail', detail: `${socket} is no socket.`, fix: "Set DOCKER_HOST to the engine's socket." }];
  const mayUse = await access(socket, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!mayUse) {
    const fix = 'Add this user to its group (`usermod -aG docker $USER`) and log in again, or run a rootless engine, or set DOCKER_HOST.';
    return [{ status: 'fail', detail: `This user may not write to ${socket}.`, fix }];
  }
  if ((found.mode & 0o002) !== 0)
    return [
      {
        status: 'fail',
        detail: `Every user of this machine may write to ${socket}, and so be root.`,
        fix: `Close it: \`chmod o-rw ${socket}\`.`,
      },
    ];
  return [{ status: 'ok', detail: `This user may use ${socket}.` }];
}

const ANSWER_MS = 2000;

/** Free, or Cloister's own. */
export async function checkPort({ listen: { host, port } }: Pick<CheckDeps, 'listen'>): Found {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  if (port === 0) return [{ status: 'ok', detail: 'A free one is taken at the start.' }];
  const code = await tryToListen(host, port);
  if (code === undefined) return [{ status: 'ok', detail: `${where} is free.` }];
  if (code === 'EADDRINUSE' && (await isCloister(host, port)))
    return [{ status: 'ok', detail: `A server of Cloister answers at ${where}.` }];
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another program has it',
    EACCES: 'ports below 1024 are not for this user',
    EADDRNOTAVAIL: 'this machine has no such address',
  };
  return [
    {
      status: 'fail',
      detail: `${where} cannot be listened on: ${why[code] ?? code}.`,
      fix: 'Set PORT or HOST to another, or stop what has it (`ss -ltnp`).',
    },
  ];
}

function tryToListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

async function isCloister(host: string, port: number): Promise<boolean> {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const url = `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}/health/live`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
    return (await answer.text()).includes('"status"');
  } catch {
    // Whatever it is, it does not speak as we do.
    return false;
  }
}

/** Each provider with a key is asked for its models, which costs nothing. */
export async function checkModels({ providers, checkKey }: Pick<CheckDeps, 'providers' | 'checkKey'>): Found {
  if (providers.size === 0)
    return [
      { status: 'warn', detail: 'No provider has a key: the demo model answers.', fix: 'Run `cloister init`, or set ANTHROPIC_API_KEY.' },
    ];
  return Promise.all(
    [...providers].map(async ([provider, config]) => {
      const { result, message } = await checkKey(provider, config);
      const detail = `${provider}: ${message}`;
      if (result === 'ok') return { status: 'ok', detail } as const;
      return { status: result === 'invalid' ? 'fail' : 'warn', detail, fix: FIXES[result] } as const;
    }),
  );
}

const FIXES = {
  invalid: 'Make a new key at the provider, and set it.',
  quota: "Add credit or wait: see the provider's console.",
  unreachable: 'See that this machine reaches the provider: firewall, DNS, HTTPS_PROXY; or correct its _BASE_URL.',
  failed: "See the provider's status page, and that its _BASE_URL is right.",
} as const;
