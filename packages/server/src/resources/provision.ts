import type { AgentOptions, Provisions } from '../harness/harness.ts';
import { SANDBOX_SKILLS } from '../harness/harness.ts';
import type { MemoryHolder, MemoryMounts } from '../memory/mounts.ts';
import type { SandboxMount } from '../runtime/driver.ts';
import type { SessionFiles } from '../sandboxes/session-files.ts';
import type { SkillSets } from '../skills/materialise.ts';
import type { SessionRow } from '../store/store.ts';
import { type FileResource, type MemoryResource, parseResources } from './resources.ts';
import { ensureUploads, putIntoWorkspace, type UploadsDeps } from './uploads.ts';

/** What a sandbox gets beyond its own directories. */
export interface Provisioned {
  readonly mounts: readonly SandboxMount[];
  readonly provisions: Provisions;
}

type Session = Pick<SessionRow, 'id' | 'tenantId' | 'agentId' | 'environment'> & Partial<Pick<SessionRow, 'resources'>>;

/** Gives sandboxes the skills of their agent, and the files and the memory of their session. */
export interface Provisioner {
  provide(session: Session, options: AgentOptions): Promise<Provisioned>;
  beforeTurn(session: SessionRow): Promise<void>;
  afterTurn(session: SessionRow): Promise<void>;
}

export interface ProvisionerDeps {
  readonly skillSets: SkillSets;
  readonly memoryMounts: MemoryMounts;
  readonly uploads: UploadsDeps;
  readonly sessionFiles: Pick<SessionFiles, 'ensure'>;
}

export function createProvisioner({ skillSets, memoryMounts, uploads, sessionFiles }: ProvisionerDeps): Provisioner {
  return {
    async provide(session, options) {
      const skills = options.skills ?? [];
      const set = skills.length === 0 ? undefined : await skillSets.ensure(session.tenantId, skills);
      const files = filesOf(session);
      const memory = memoryOf(session);
      if (files.resources.length > 0) await putIntoWorkspace(uploads, files, await sessionFiles.ensure(session));
      return {
        mounts: [
          ...(set === undefined ? [] : [{ hostPath: set.directory, path: SANDBOX_SKILLS, isReadOnly: true }]),
          ...(await ensureUploads(uploads, files)),
          ...(await memoryMounts.ensure(memory)),
        ],
        provisions: { skills: set?.notes ?? [], notes: [...memory.resources.map(memoryNote), ...fileNotes(files.resources)] },
      };
    },
    beforeTurn: (session) => memoryMounts.beforeTurn(memoryOf(session)),
    afterTurn: (session) => memoryMounts.afterTurn(memoryOf(session)),
  };
}

function memoryOf({ id: sessionId, tenantId, resources = [] }: Session): MemoryHolder {
  return { tenantId, sessionId, resources: parseResources(resources).filter((one): one is MemoryResource => one.type === 'memory_store') };
}

function filesOf({ id: sessionId, tenantId, resources = [] }: Session) {
  return { tenantId, sessionId, resources: parseResources(resources).filter((one): one is FileResource => one.type === 'file') };
}

function memoryNote({ name, description, instructions, access, mount_path }: MemoryResource): string {
  const how =
    access === 'read_only'
      ? 'You can read it, not change it.'
      : 'Text files that you write there are kept for later sessions, up to 100 kB each; look there before you begin, and note what will be of use.';
  const about = [description, instructions ?? ''].filter((text) => text !== '').join(' ');
  return `The memory ${JSON.stringify(name)} is the directory ${mount_path}. ${how}${about === '' ? '' : ` ${about}`}`;
}

function fileNotes(resources: readonly FileResource[]): string[] {
  if (resources.length === 0) return [];
  return [`You were given these files: ${resources.map(({ mount_path }) => mount_path).join(', ')}.`];
}
