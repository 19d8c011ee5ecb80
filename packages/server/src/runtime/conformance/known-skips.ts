import { existsSync } from 'node:fs';
import type { RuntimeCapabilities } from '../driver.ts';

export interface KnownSkip {
  /** Why the driver cannot keep the law; shown wherever the law is left out. */
  readonly reason: string;
  /** The law is only left out where the driver says that it has not got this. */
  readonly unless?: keyof RuntimeCapabilities;
  /** The law may hold by accident, on a busy host for example: it is not tried. */
  readonly isFickle?: true;
  /** The law is only left out on such a host. */
  readonly host?: 'cgroup-v1';
}

/** Law → why it is not kept. */
export type SkipList = Readonly<Record<string, KnownSkip>>;

const MEMORY_UNTOLD = {
  reason: "Podman's monitor sees no kill for memory in control groups of version 1; it shows as SIGKILL",
  host: 'cgroup-v1',
} as const;
const NO_WALLS = { reason: 'the fake runs inside the server and separates nothing' };
const ONE_INSTALLATION = { reason: 'the broker lets one installation make containers, so there is no other' };
const NO_LIMITS = { reason: 'the fake runs inside the server and limits nothing' };

const NO_GROUPS = { reason: 'there are no control groups to be had here, only limits on each process', unless: 'supportsLimits' } as const;

/**
 * Every law that a driver does not keep: driver → law → reason. The suite tries a listed law all the same: it has
 * to fail, or the entry has to go. A law that fails and is not listed fails the suite, and a skip that is not
 * listed fails `npm test` in CI.
 */
export const KNOWN_SKIPS: Readonly<Record<string, SkipList>> = {
  fake: {
    'there is no network but the own loopback': NO_WALLS,
    'the user is the wanted one, without any capability or a way to gain one': NO_WALLS,
    'the root is read-only and /tmp is writable up to its size': NO_WALLS,
    'mounts lead to the host, and the read-only ones one way only': NO_WALLS,
    'a child alone that is killed for memory is told too': NO_LIMITS,
    'the memory limit bites, and counts /tmp': NO_LIMITS,
    'the limit on processes bites': NO_LIMITS,
    'the CPU limit bites': NO_LIMITS,
    'the program is not process 1, and orphans are reaped': NO_LIMITS,
  },
  podman: {
    'a program that cannot be found exits 127': { reason: "Podman's init, catatonit, answers 1; its words are on stderr" },
    'the exit report tells that memory ran out': MEMORY_UNTOLD,
    'a child alone that is killed for memory is told too': MEMORY_UNTOLD,
  },
  'docker through the socket broker': {
    'two installations on one engine do not touch each other': ONE_INSTALLATION,
    'watch tells how the sandboxes of the installation end, and of no other': ONE_INSTALLATION,
  },
  bubblewrap: {
    'the exit report tells that memory ran out': NO_GROUPS,
    'a child alone that is killed for memory is told too': NO_GROUPS,
    'the memory limit bites, and counts /tmp': NO_GROUPS,
    'the limit on processes bites': NO_GROUPS,
    'the CPU limit bites': { ...NO_GROUPS, isFickle: true },
  },
};

/** What of a driver's list counts where it has these capabilities, by law. */
export function countingSkips(skips: SkipList, capabilities: RuntimeCapabilities): ReadonlyMap<string, KnownSkip> {
  const isVersionOne = !existsSync('/sys/fs/cgroup/cgroup.controllers');
  const counting = Object.entries(skips).filter(
    ([, { unless, host }]) => (unless === undefined || !capabilities[unless]) && (host === undefined || isVersionOne),
  );
  return new Map(counting);
}

/** Whether a skip that a test run reports is one of the list. */
export function isKnownSkip(skip: { readonly name: string; readonly reason: string }): boolean {
  return Object.values(KNOWN_SKIPS).some((laws) => laws[skip.name]?.reason === skip.reason);
}
