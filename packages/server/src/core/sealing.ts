/**
 * Envelope encryption of what is kept in the database. A sealed text says with which key of the
 * installation it was made, and opens only with the associated data it was sealed with: a row's
 * secret that is copied to another row, or to another tenant, does not open there.
 */
export interface Sealer {
  /** The key new texts are sealed with. */
  readonly currentKeyId: string;
  /** Seals under a key of its own, wrapped by the installation's current one. `aad`: see `aadOf`. */
  seal(plaintext: string, aad: string): string;
  /** Throws `encryption_key_missing` when its key is not there and `secret_unreadable` when it does not open. */
  open(sealed: string, aad: string): string;
  /** The same secret under the current key, without its plain text being seen; undefined when it is so already. */
  rewrap(sealed: string): string | undefined;
}

/** Associated data: whose, of which record, and of which of its versions a secret is. */
export function aadOf(tenantId: string, recordId: string, version: string | number): string {
  return JSON.stringify([tenantId, recordId, String(version)]);
}

const SEALED = /^sealed\.1\.([a-z0-9_-]{1,64})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;

export interface SealedParts {
  readonly keyId: string;
  readonly wrapped: string;
  readonly box: string;
}

/** The parts of a sealed text; undefined for what is none, such as a secret from before there was encryption. */
export function parseSealed(text: string): SealedParts | undefined {
  const [, keyId, wrapped, box] = SEALED.exec(text) ?? [];
  return keyId === undefined || wrapped === undefined || box === undefined ? undefined : { keyId, wrapped, box };
}

export function sealedText({ keyId, wrapped, box }: SealedParts): string {
  return `sealed.1.${keyId}.${wrapped}.${box}`;
}
