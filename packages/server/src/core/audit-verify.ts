import type { AuditSeals, ChainHead, SealedCheckpoint, SealedEntry, SealedHead } from './audit-chain.ts';

export const AUDIT_FINDINGS = [
  'edited',
  'deleted',
  'reordered',
  'inserted',
  'truncated',
  'rewritten',
  'head',
  'checkpoint',
  'key',
] as const;

/** One thing that is wrong with a chain, with the entries it is about. */
export interface AuditFinding {
  readonly kind: (typeof AUDIT_FINDINGS)[number];
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly message: string;
}

export interface AuditVerdict {
  readonly tenantId: string;
  readonly isIntact: boolean;
  /** How many entries were looked at. */
  readonly entries: number;
  /** The last of them. */
  readonly lastSeq: number;
  /** Up to which entry a checkpoint stands for what is kept no longer; 0 for none. */
  readonly sealedThrough: number;
  readonly findings: readonly AuditFinding[];
}

export interface ChainInput {
  readonly tenantId: string;
  readonly seals: AuditSeals;
  /** The row that says where the chain ends; undefined when there is none. */
  readonly head: SealedHead | undefined;
  readonly checkpoints: readonly SealedCheckpoint[];
  /** A head that was taken out of the installation earlier. */
  readonly exported?: ChainHead | undefined;
}

/** Takes the entries in the order of their numbers, and says at the end what is wrong with them. */
export interface ChainCheck {
  take(entry: SealedEntry): void;
  end(): AuditVerdict;
}

/** Of more broken entries than this it is not looked up where each came from. */
const MAX_MOVED = 200;
const MAX_FINDINGS = 1000;

export function checkChain(input: ChainInput): ChainCheck {
  const { tenantId, seals } = input;
  const findings: AuditFinding[] = [];
  const add = (kind: AuditFinding['kind'], fromSeq: number, toSeq: number, message: string) => {
    if (findings.length < MAX_FINDINGS) findings.push({ kind, fromSeq, toSeq, message });
  };
  const sealed = checkCheckpoints(input, add);
  const broken: SealedEntry[] = [];
  let expected = (sealed?.throughSeq ?? 0) + 1;
  /** The MAC that the next entry must name; undefined after a break, where it is not known. */
  let previous: string | undefined = sealed?.lastMac ?? '';
  let entries = 0;
  let lastSeq = sealed?.throughSeq ?? 0;
  let isExportedSeen = input.exported === undefined || (sealed !== undefined && input.exported.seq <= sealed.throughSeq);

  const unknown = new Map<string, { from: number; to: number }>();

  /** False for one that is broken, or that cannot be told without its key. */
  function holds(entry: SealedEntry): boolean {
    const seal = seals.find(entry.keyId);
    if (seal?.entry(entry) === entry.mac) return true;
    const run = unknown.get(entry.keyId);
    if (seal !== undefined) broken.push(entry);
    else if (run?.to === entry.seq - 1) run.to = entry.seq;
    else {
      if (run !== undefined) addUnknown(entry.keyId, run);
      unknown.set(entry.keyId, { from: entry.seq, to: entry.seq });
    }
    return false;
  }

  function addUnknown(keyId: string, { from, to }: { readonly from: number; readonly to: number }): void {
    add('key', from, to, `${range(from, to)} made with the key ${printable(keyId)}, which is not here`);
  }

  return {
    take(entry) {
      entries++;
      if (sealed !== undefined && entry.seq <= sealed.throughSeq) return void holds(entry);
      if (entry.seq > expected) {
        add('deleted', expected, entry.seq - 1, `${range(expected, entry.seq - 1)} missing`);
        previous = undefined;
      }
      expected = entry.seq + 1;
      lastSeq = entry.seq;
      if (input.exported?.seq === entry.seq) {
        isExportedSeen = true;
        if (input.exported.mac !== entry.mac)
          add('rewritten', entry.seq, entry.seq, `entry ${entry.seq} is not the one of the exported head`);
      }
      if (!holds(entry)) {
        previous = undefined;
        return;
      }
      if (previous !== undefined && entry.previous !== previous)
        add('rewritten', entry.seq - 1, entry.seq, `entry ${entry.seq} does not follow the entry ${entry.seq - 1} that is there`);
      previous = entry.mac;
    },
    end() {
      for (const [keyId, run] of unknown) addUnknown(keyId, run);
      nameBroken(seals, broken, add);
      checkHead(input, { lastSeq, lastMac: previous }, add);
      if (!isExportedSeen && input.exported !== undefined && input.exported.seq > lastSeq)
        add('truncated', lastSeq + 1, input.exported.seq, `${range(lastSeq + 1, input.exported.seq)} cut off: the exported head had them`);
      const isIntact = findings.length === 0;
      return { tenantId, isIntact, entries, lastSeq, sealedThrough: sealed?.throughSeq ?? 0, findings };
    },
  };
}

type Add = (kind: AuditFinding['kind'], fromSeq: number, toSeq: number, message: string) => void;

/** The last checkpoint that is one of ours. */
function checkCheckpoints({ seals, checkpoints }: ChainInput, add: Add): SealedCheckpoint | undefined {
  let last: SealedCheckpoint | undefined;
  for (const checkpoint of checkpoints) {
    const { throughSeq } = checkpoint;
    if (seals.find(checkpoint.keyId)?.checkpoint(checkpoint) !== checkpoint.mac)
      add('checkpoint', 1, throughSeq, `the checkpoint through entry ${throughSeq} was not made with a key that is here`);
    else if (last === undefined || throughSeq > last.throughSeq) last = checkpoint;
  }
  return last;
}

/** An entry whose MAC belongs to another place was moved; any other was changed, or was never written by us. */
function nameBroken(seals: AuditSeals, broken: readonly SealedEntry[], add: Add): void {
  const places = broken.length <= MAX_MOVED ? broken.map(({ seq }) => seq) : [];
  for (const entry of broken) {
    const from = places.find((seq) => seq !== entry.seq && seals.find(entry.keyId)?.entry({ ...entry, seq }) === entry.mac);
    if (from === undefined) add('edited', entry.seq, entry.seq, `entry ${entry.seq} was changed, or put in`);
    else add('reordered', Math.min(entry.seq, from), Math.max(entry.seq, from), `what is entry ${entry.seq} was written as entry ${from}`);
  }
}

function checkHead(
  { seals, head }: ChainInput,
  { lastSeq, lastMac }: { readonly lastSeq: number; readonly lastMac: string | undefined },
  add: Add,
): void {
  if (head === undefined) {
    if (lastSeq > 0) add('head', lastSeq, lastSeq, 'the head of the chain is missing');
    return;
  }
  const seal = seals.find(head.keyId);
  if (seal === undefined) add('key', head.seq, head.seq, `the head was made with the key ${printable(head.keyId)}, which is not here`);
  else if (seal.head(head) !== head.headMac) add('head', head.seq, head.seq, 'the head of the chain was changed');
  else if (head.seq > lastSeq) add('truncated', lastSeq + 1, head.seq, `${range(lastSeq + 1, head.seq)} cut off`);
  else if (head.seq < lastSeq)
    add('inserted', head.seq + 1, lastSeq, `${range(head.seq + 1, lastSeq)} behind the head of the chain, or the head was put back`);
  else if (lastMac !== undefined && head.mac !== lastMac)
    add('rewritten', head.seq, head.seq, `entry ${head.seq} is not the one that the head names`);
}

function range(from: number, to: number): string {
  return from === to ? `entry ${from} is` : `entries ${from} to ${to} are`;
}

/** What somebody may have written into the database. */
function printable(keyId: string): string {
  return /^[0-9a-f]{16}$/.test(keyId) ? keyId : '(none of ours)';
}
