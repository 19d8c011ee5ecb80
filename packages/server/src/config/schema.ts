import { readsOf, type SettingRead } from './recording.ts';

export type Setting = Required<Pick<SettingRead, 'name' | 'kind' | 'isSecret'>> & Pick<SettingRead, 'fallback' | 'allowed'>;

/** By name, in the order in which they are read. */
export type Settings = ReadonlyMap<string, Setting>;

/** The settings that these functions read. One that several read has what any of them says of it. */
export function settingsOf(loads: readonly (() => unknown)[]): Settings {
  const all = new Map<string, Setting>();
  for (const read of loads.flatMap(readsOf)) {
    const known = all.get(read.name);
    const isPlainer = known !== undefined && known.kind !== 'text' && read.kind === 'text';
    all.set(read.name, {
      name: read.name,
      kind: isPlainer ? known.kind : read.kind,
      fallback: known?.fallback ?? read.fallback,
      allowed: known?.allowed ?? read.allowed,
      isSecret: known?.isSecret === true || read.isSecret === true,
    });
  }
  // The file of a secret is another way to give it, no setting of its own.
  for (const name of all.keys()) if (isSecretFile(all, name)) all.delete(name);
  return all;
}

export function isSecretFile(settings: Settings, name: string): boolean {
  return name.endsWith('_FILE') && settings.get(name.slice(0, -'_FILE'.length))?.isSecret === true;
}
