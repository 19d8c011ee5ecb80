import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { packageOf, type SkillFile, type SkillPackage } from './skill-package.ts';

/** What the skills of a folder may take together with their files. */
const MAX_SKILL_BYTES = 32 * 1024 * 1024;

/**
 * The skills of a folder of the operator's: each folder below it that has a SKILL.md. Links are not followed. None when
 * there is no such folder. Throws `skill_invalid`.
 */
export async function skillsOfFolder(folder: string): Promise<readonly SkillPackage[]> {
  const names = (await entriesOf(folder)).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const packages: SkillPackage[] = [];
  for (const name of names.toSorted()) {
    const files = await filesBelow(path.join(folder, name), '');
    if (files.some((file) => file.path === 'SKILL.md')) packages.push(packageOf(files, MAX_SKILL_BYTES));
  }
  return packages;
}

async function filesBelow(root: string, below: string): Promise<readonly SkillFile[]> {
  const files: SkillFile[] = [];
  for (const entry of await entriesOf(path.join(root, below))) {
    const name = path.posix.join(below, entry.name);
    if (entry.isDirectory()) files.push(...(await filesBelow(root, name)));
    if (!entry.isFile()) continue;
    const file = path.join(root, name);
    files.push({ path: name, bytes: await readFile(file), isExecutable: ((await stat(file)).mode & 0o100) !== 0 });
  }
  return files;
}

async function entriesOf(folder: string) {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  });
}
