import net from 'node:net';

/** Whether this address of the host has nobody listening on the port, by listening there for a moment. */
export function isPortFree(address: string, port: number): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const server = net.createServer();
  server.once('error', (error: NodeJS.ErrnoException) => {
    // An address that is not this host's own can only be judged by the engine.
    if (error.code === 'EADDRNOTAVAIL' || error.code === 'EACCES') resolve(true);
    else if (error.code === 'EADDRINUSE') resolve(false);
    else reject(error);
  });
  server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(true)));
  return promise;
}
