import { type Environment, text } from './values.ts';

/** Where the keys are that secrets in the database are sealed with; both undefined has one made in DATA_DIR/keys. */
export interface SealingSettings {
  /** One key or several, apart by white space or commas, the current one first. */
  readonly kek: string | undefined;
  /** A file with the same; it is read again when a key is missing. */
  readonly kekFile: string | undefined;
}

export function sealingSettings(env: Environment): SealingSettings {
  const kek = text(env, 'CLOISTER_KEK', { isSecret: true });
  const kekFile = text(env, 'CLOISTER_KEK_FILE');
  return { kek, kekFile: kek === undefined ? kekFile : undefined };
}
