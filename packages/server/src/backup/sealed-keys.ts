import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { PlatformError } from '../base/errors.ts';
import { rememberSecret } from '../base/redaction/redaction.ts';
import { invalidBackup } from './manifest.ts';

/** 64 MiB and some tenths of a second for each guess. */
const SCRYPT = { N: 65_536, r: 8, p: 1, maxmem: 128 * 1024 * 1024 } as const;
const MIN_LENGTH = 12;

/** The passphrase in a file's first line. Throws `config_invalid` when it is too short to be one. */
export async function readPassphrase(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new PlatformError('config_invalid', { detail: `The passphrase file ${file} cannot be read.`, cause });
  });
  const passphrase = text.split('\n', 1)[0]?.trim() ?? '';
  if (passphrase.length < MIN_LENGTH)
    throw new PlatformError('config_invalid', { detail: `The passphrase in ${file} has fewer than ${MIN_LENGTH} characters.` });
  rememberSecret(passphrase);
  return passphrase;
}

/** Encrypts with AES-256-GCM under a key that scrypt makes of the passphrase. */
export function sealKeys(plain: Buffer, passphrase: string): Buffer {
  const [salt, iv] = [randomBytes(16), randomBytes(12)];
  const cipher = createCipheriv('aes-256-gcm', keyOf(passphrase, salt, SCRYPT), iv);
  const text = Buffer.concat([cipher.update(plain), cipher.final()]);
  const sealed = {
    cloister_keys: 1,
    kdf: { name: 'scrypt', N: SCRYPT.N, r: SCRYPT.r, p: SCRYPT.p, salt: salt.toString('base64') },
    cipher: { name: 'aes-256-gcm', iv: iv.toString('base64'), tag: cipher.getAuthTag().toString('base64') },
    text: text.toString('base64'),
  };
  return Buffer.from(JSON.stringify(sealed, null, 1));
}

/** Throws `backup_passphrase_wrong`, and `backup_invalid` for what was not made by `sealKeys`. */
export function openKeys(sealed: Buffer, passphrase: string): Buffer {
  const { salt, iv, tag, text } = parseSealed(sealed);
  const decipher = createDecipheriv('aes-256-gcm', keyOf(passphrase, salt, SCRYPT), iv);
  decipher.setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(text), decipher.final()]);
  } catch (cause) {
    throw new PlatformError('backup_passphrase_wrong', { cause });
  }
}

function parseSealed(sealed: Buffer): { salt: Buffer; iv: Buffer; tag: Buffer; text: Buffer } {
  try {
    const { cloister_keys: format, kdf, cipher, text } = JSON.parse(sealed.toString()); // fields are looked at below
    const bytes = (value: unknown) => Buffer.from(String(value), 'base64');
    const isOurs = format === 1 && kdf.name === 'scrypt' && kdf.N === SCRYPT.N && kdf.r === SCRYPT.r && kdf.p === SCRYPT.p;
    const parts = { salt: bytes(kdf.salt), iv: bytes(cipher.iv), tag: bytes(cipher.tag), text: bytes(text) };
    if (isOurs && parts.iv.length === 12 && parts.tag.length === 16) return parts;
  } catch (cause) {
    throw invalidBackup('its keys are damaged', cause);
  }
  throw invalidBackup('its keys are sealed in a way that this program does not know');
}

function keyOf(passphrase: string, salt: Buffer, options: typeof SCRYPT): Buffer {
  return scryptSync(passphrase.normalize('NFC'), salt, 32, options);
}
