/** Who speaks Docker's API at the other end. */
export type EngineKind = 'docker' | 'podman';

/** In what an engine differs from what its version of Docker's API says, and in what its operator does about it. */
export interface EngineQuirks {
  /** For sentences. */
  readonly title: string;
  /** What to do when there is no socket, nobody may use it, nothing answers, or it is too old. */
  readonly fixes: { readonly missing: string; readonly forbidden: string; readonly stopped: string; readonly old: string };
  /** How a taken name is refused; a status alone, or one that needs these words beside it. */
  readonly nameTaken: readonly { readonly status: number; readonly words?: RegExp }[];
  /** How a command in a container that does not run is refused. */
  readonly notRunning: readonly { readonly status: number; readonly words?: RegExp }[];
  /** How it says that a container is gone, when it went while the question was being answered. */
  readonly missing: readonly { readonly status: number; readonly words?: RegExp }[];
  /** The events of a container's end; all are asked for, since newer versions took over Docker's name. */
  readonly exitEvents: readonly string[];
  readonly exitCodeAttributes: readonly string[];
  /** Whether a kill for memory is an event too, which outlives its container. */
  readonly hasMemoryEvents: boolean;
  /** Refuses to stop what is paused, until it is resumed. */
  readonly stopsPaused: boolean;
  /** Removal by force asks the container to end first, where others kill it: so we kill. */
  readonly isKilledFirst: boolean;
  /** Keeps a removal by force from waiting. */
  readonly removal: Readonly<Record<string, number>>;
  /** It makes the directory of a bind mount that is not there, as root, instead of refusing it. */
  readonly makesMissingMounts: boolean;
  /** Its default filter lets a program make user namespaces, in which it has every capability. */
  readonly needsOwnSeccomp: boolean;
  /** Whether a network can be given a default route that leads nowhere, so that a published port is no way out. */
  readonly closesNetworks: boolean;
  /** Whether the id that it tells of itself is the same at the next question. */
  readonly hasStableId: boolean;
  /** It may close the streams of a program that ends at once before their last bytes, which its log has. */
  readonly losesTails: boolean;
  /** The OCI runtimes that start faster in a network namespace that is there already than with one of their own. */
  readonly fasterInNetworks: readonly string[];
  /** Whether a tmpfs may be limited in files too; else its size, which every file takes some of as memory, has to do. */
  readonly takesInodeLimit: boolean;
  /** Places under a read-only root that it makes writable unless something is mounted there. */
  readonly closedTmpfs: Readonly<Record<string, string>>;
  /** Limits it would else set to values of its own, which fail where its own are lower. */
  readonly ulimits: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[];
}

/** The only place where engines are told apart. All else asks this table. */
export const QUIRKS: Readonly<Record<EngineKind, EngineQuirks>> = {
  docker: {
    title: 'Docker',
    fixes: {
      missing: 'Install Docker and start it (`systemctl start docker`), or set DOCKER_HOST to where the engine listens.',
      forbidden: 'Add the user that runs Cloister to the group of the socket (`usermod -aG docker USER`, then sign in again).',
      stopped: 'Start it (`systemctl start docker`), or set DOCKER_HOST to where the engine listens.',
      old: 'Upgrade Docker to 20.10 or newer.',
    },
    nameTaken: [{ status: 409 }],
    notRunning: [{ status: 404 }, { status: 409 }],
    missing: [{ status: 404 }],
    exitEvents: ['die'],
    exitCodeAttributes: ['exitCode'],
    hasMemoryEvents: true,
    stopsPaused: true,
    isKilledFirst: false,
    removal: {},
    makesMissingMounts: false,
    needsOwnSeccomp: false,
    closesNetworks: true,
    hasStableId: true,
    losesTails: false,
    fasterInNetworks: ['runc', 'crun'],
    takesInodeLimit: true,
    closedTmpfs: {},
    ulimits: [],
  },
  podman: {
    title: 'Podman',
    fixes: {
      missing:
        "Install Podman and start its service (`systemctl --user enable --now podman.socket`; as root without `--user`), or set DOCKER_HOST to the service's socket.",
      forbidden: 'Start a service of your own (`systemctl --user enable --now podman.socket`), or run Cloister as the user of that one.',
      stopped: "Start its service (`systemctl --user enable --now podman.socket`), or set DOCKER_HOST to the service's socket.",
      old: 'Upgrade Podman to 4.0 or newer.',
    },
    nameTaken: [{ status: 409 }, { status: 500, words: /name .* is (already )?in use/i }],
    notRunning: [{ status: 404 }, { status: 409 }, { status: 500, words: /container state improper/i }],
    missing: [{ status: 404 }, { status: 500, words: /no such container|container has already been removed/i }],
    exitEvents: ['died', 'die'],
    exitCodeAttributes: ['containerExitCode', 'exitCode'],
    hasMemoryEvents: false,
    stopsPaused: false,
    isKilledFirst: true,
    removal: { timeout: 0 },
    makesMissingMounts: true,
    needsOwnSeccomp: true,
    closesNetworks: false,
    hasStableId: false,
    losesTails: true,
    fasterInNetworks: [],
    takesInodeLimit: false,
    // Its init and its marks go to /run, so that one is left to root.
    closedTmpfs: { '/run': 'rw,noexec,nosuid,nodev,size=65536,mode=755', '/var/tmp': 'ro,noexec,nosuid,nodev,size=4096' },
    ulimits: [{ Name: 'nproc', Soft: 16_384, Hard: 16_384 }],
  },
};

/** Whether some engine says so that the name is taken. */
export function saysNameTaken(answer: { readonly status: number; readonly message: string }): boolean {
  return Object.values(QUIRKS).some(({ nameTaken }) => isRefusal(nameTaken, answer));
}

export function isRefusal(
  kinds: readonly { readonly status: number; readonly words?: RegExp }[],
  answer: { readonly status: number; readonly message: string },
): boolean {
  return kinds.some(({ status, words }) => status === answer.status && (words === undefined || words.test(answer.message)));
}
