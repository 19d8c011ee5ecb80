/**
 * What a relay of a service's port runs, with node from the sandbox image: each connection to its first argument is
 * carried to its second, a path being a unix socket and all else `address:port`. It is given to the container in its
 * command, so that neither an image nor a mount has to bring it, and the socket broker compares it letter by letter.
 *
 * The end of one direction leaves the other open, as it would without a relay; an error of one side is the end of
 * both. What one side does not read is not read from the other.
 */
export const RELAY_PROGRAM = `
const net = require('node:net');
const fs = require('node:fs');
const [from, to] = process.argv.slice(1);
const place = (text) => {
  if (text.startsWith('/')) return { path: text };
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
};
const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true }, (client) => {
  const target = net.connect({ ...place(to), allowHalfOpen: true, noDelay: true });
  const end = () => {
    client.destroy();
    target.destroy();
  };
  client.on('error', end);
  target.on('error', end);
  target.once('connect', () => {
    client.pipe(target);
    target.pipe(client);
  });
});
server.maxConnections = ${512};
if (from.startsWith('/')) fs.rmSync(from, { force: true });
server.listen(place(from));
`;
