const ORPHAN_CHECK_MS = 500;

/** For a server in a process of its own: resolves when it is asked to stop. A test that is killed cannot ask, so the process ends with its parent. */
export function stopRequested(): Promise<void> {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(1);
  }, ORPHAN_CHECK_MS).unref();
  const { promise, resolve } = Promise.withResolvers<void>();
  process.once('SIGTERM', () => resolve());
  return promise;
}
