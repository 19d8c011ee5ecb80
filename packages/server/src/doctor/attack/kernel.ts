import type { Kit } from './kit.ts';

/** Ways to more rights. */
export async function attackRights(kit: Kit): Promise<void> {
  const fs = process.getBuiltinModule('node:fs');
  const status = fs.readFileSync('/proc/self/status', 'utf8');
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1] ?? '';
  const capabilities = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].filter((name) => /[^0]/.test(field(name)));
  kit.tell('capabilities', "root's rights, in any set", {
    got: [...capabilities, ...(process.getuid?.() === 0 ? ['uid 0'] : [])],
    how: ['none, and none to be gained'],
  });
  kit.tell('no-new-rights', 'the locks on new rights and on system calls', {
    got: [...(field('NoNewPrivs') === '1' ? [] : ['no_new_privs is off']), ...(field('Seccomp') === '2' ? [] : ['no seccomp filter'])],
    how: ['no_new_privs and seccomp are on'],
  });

  const asRoot = [kit.run('su', '-c', 'id -u'), kit.run('setpriv', '--reuid', '0', 'id', '-u'), kit.run('unshare', '-r', 'id', '-u')];
  kit.tryTo(() => fs.copyFileSync('/bin/sh', '/workspace/sh'));
  kit.tryTo(() => fs.chmodSync('/workspace/sh', 0o6755));
  asRoot.push(kit.run('/workspace/sh', '-p', '-c', 'id -u'));
  kit.tell('setuid', 'programs that would run as root: su, setpriv, a setuid copy, a user namespace', {
    got: asRoot.filter(({ code, out }) => code === 0 && out === '0').map(() => 'root'),
    how: ['still the same user'],
  });
  const escapes = [
    kit.run('unshare', '-Urmn', 'true'),
    kit.run('unshare', '-U', 'true'),
    kit.run('mount', '-t', 'tmpfs', 'x', '/mnt'),
    kit.run('mount', '--bind', '/', '/mnt'),
    kit.run('umount', '/proc/kcore'),
  ];
  kit.tell('namespaces', 'new namespaces and mounts with the system programs', {
    got: escapes.filter(({ code }) => code === 0).map(() => 'it ran'),
    how: escapes.map(({ out }) => out.split(': ').at(-1) ?? ''),
  });
}

/** Processes that are not the sandbox's own. */
export async function attackProcesses(kit: Kit): Promise<void> {
  const fs = process.getBuiltinModule('node:fs');
  const processes = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const strangers = processes.filter(
    (id) => kit.tryTo(() => fs.readFileSync(`/proc/${id}/environ`)) === 'ok' && !['1', String(process.pid)].includes(id),
  );
  const uid = String(process.getuid?.());
  const foreign = processes.filter(
    (id) =>
      id !== '1' &&
      kit.tryTo(() => {
        if (String(fs.statSync(`/proc/${id}`).uid) !== uid) throw new Error('foreign');
      }) === 'foreign',
  );
  kit.tell('processes', "other people's processes", {
    got: [...foreign, ...(processes.length > 20 ? [`${processes.length} in sight`] : [])],
    how: [`${processes.length} in sight, all of this sandbox (${strangers.length} readable)`],
  });
}

/** System calls that no agent needs. */
export async function attackCalls(kit: Kit): Promise<void> {
  const groups = kit.input.systemCalls;
  const seen = kit.syscalls(groups.flatMap(({ calls }) => calls));
  for (const { id, what, calls } of groups) {
    if (seen === undefined) {
      kit.cannot(id, what, 'there is no perl in the sandbox to make system calls with');
      continue;
    }
    // EFAULT and EBADF come from the call itself: it was let in.
    const isIn = (name: string) => /^(ok|Bad address|Bad file descriptor|unanswered)$/.test(seen.get(name) ?? 'unanswered');
    kit.tell(id, what, { got: calls.map(([name]) => name).filter(isIn), how: calls.map(([name]) => seen.get(name) ?? 'unanswered') });
  }
}
