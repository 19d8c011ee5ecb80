import type { JsonObject } from '../../../base/json.ts';
import type { SandboxLabels, SandboxMount } from '../../driver.ts';

/** Every policy that an environment can have, each by what it asks for: its container must be the checked-in one. */
export interface Policy {
  readonly name: string;
  readonly config: JsonObject;
  readonly extraMounts?: readonly SandboxMount[];
  readonly runtimeClass?: string;
}

export const LABELS: SandboxLabels = {
  installation: 'golden-installation',
  node: 'golden-node',
  tenant: 'golden-tenant',
  agent: 'golden-agent',
  session: 'golden-session',
  sandbox: 'golden-sandbox',
  incarnation: 'golden-incarnation',
};

/** `directory` lies on the host and is there. */
export function policies(directory: string): readonly Policy[] {
  return [
    { name: 'default', config: { type: 'container' } },
    { name: 'cloud', config: { type: 'cloud', networking: { type: 'none' } } },
    { name: 'no network', config: { type: 'container', networking: { type: 'none' } } },
    { name: 'limited network', config: { type: 'container', networking: { type: 'limited', allowed_hosts: [] } } },
    {
      name: 'allowed hosts',
      config: { type: 'container', networking: { type: 'limited', allowed_hosts: ['example.org', '*.example.com:8443'] } },
    },
    { name: 'unrestricted network', config: { type: 'container', networking: { type: 'unrestricted' } } },
    { name: 'memory', config: { type: 'container', memory: '128m' } },
    { name: 'cpus', config: { type: 'container', cpus: 0.25 } },
    { name: 'pids', config: { type: 'container', pids: 33 } },
    {
      name: 'variables',
      config: { type: 'container', env: { TZ: 'UTC', HOME: '/x', NODE_OPTIONS: '--inspect=0.0.0.0', PATH: '/workspace' } },
    },
    { name: 'extra mount', config: { type: 'container' }, extraMounts: [{ hostPath: directory, path: '/mnt/data', isReadOnly: true }] },
    { name: 'writable mount', config: { type: 'container' }, extraMounts: [{ hostPath: directory, path: '/mnt/data', isReadOnly: false }] },
    { name: 'runtime class', config: { type: 'container' }, runtimeClass: 'runc' },
  ];
}
