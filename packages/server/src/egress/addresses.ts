import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/**
 * Addresses that no sandbox reaches, whatever a name resolves to: this host, private and carrier
 * networks, cloud metadata services, and the ranges that carry one of those inside another form.
 */
const DENIED_IPV4: readonly (readonly [network: string, prefix: number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  // Azure's host service, which lies in public space.
  ['168.63.129.16', 32],
];

/**
 * IPv6 is allowed by its global unicast range alone. That leaves out ::, ::1, v4-mapped and
 * v4-compatible forms, NAT64, unique local, link-local and multicast; inside it these stay denied.
 */
const GLOBAL_IPV6 = ['2000::', 3] as const;
const DENIED_IPV6: readonly (readonly [network: string, prefix: number])[] = [
  // Protocol assignments, with Teredo and benchmarking.
  ['2001::', 23],
  ['2001:db8::', 32],
  // 6to4 carries any IPv4 address inside.
  ['2002::', 16],
  ['3fff::', 20],
];

// Two lists, since one list compares a v4 address with rules for its mapped form too.
const ipv4 = new BlockList();
const ipv6 = new BlockList();
const global = new BlockList();
for (const [network, prefix] of DENIED_IPV4) ipv4.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of DENIED_IPV6) ipv6.addSubnet(network, prefix, 'ipv6');
global.addSubnet(...GLOBAL_IPV6, 'ipv6');

/** True for what is denied and for what is no address at all. */
export function isDeniedAddress(address: string): boolean {
  const version = isIP(address);
  if (version === 4) return ipv4.check(address, 'ipv4');
  // An address with a zone belongs to one link, never to the internet.
  if (version !== 6 || address.includes('%')) return true;
  return !global.check(address, 'ipv6') || ipv6.check(address, 'ipv6');
}

/** As above, and this host's own addresses: a public one must not be reached from behind its own firewall. */
export function isNotPublic(address: string): boolean {
  return isDeniedAddress(address) || isOwnAddress(address);
}

function isOwnAddress(address: string): boolean {
  return Object.values(networkInterfaces()).some((interfaces) => interfaces?.some((one) => one.address === address));
}

/** Where clouds answer whoever asks with the machine's own credentials. */
const METADATA = new BlockList();
METADATA.addSubnet('169.254.0.0', 16, 'ipv4');
METADATA.addAddress('168.63.129.16', 'ipv4');
METADATA.addAddress('100.100.100.200', 'ipv4');
METADATA.addSubnet('fe80::', 10, 'ipv6');
METADATA.addAddress('fd00:ec2::254', 'ipv6');

/** Denied even to those who may reach private networks. A v4 address is also found inside its mapped form. */
export function isMetadataAddress(address: string): boolean {
  const version = isIP(address);
  return version === 0 || address.includes('%') || METADATA.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

/**
 * What sandboxes may not reach when the operator has opened some private networks, such as `10.1.2.0/24`. The
 * metadata services stay closed, and so does every form of an address but its own.
 */
export function deniedBut(networks: readonly string[]): (address: string) => boolean {
  if (networks.length === 0) return isNotPublic;
  const opened = { 4: new BlockList(), 6: new BlockList() };
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIP(address) === 6 ? 6 : 4;
    opened[family].addSubnet(address, prefix === undefined ? (family === 6 ? 128 : 32) : Number(prefix), `ipv${family}`);
  }
  return (address) => {
    const family = isIP(address);
    if ((family !== 4 && family !== 6) || isMetadataAddress(address)) return true;
    return !opened[family].check(address, `ipv${family}`) && isNotPublic(address);
  };
}

/** All addresses of a name, by the host's own resolver. */
export async function resolveByHost(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true, verbatim: true });
  return found.map((one) => one.address);
}
