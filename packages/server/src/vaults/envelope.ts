import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { PlatformError } from '../base/errors.ts';
import { rememberSecret } from '../base/redaction/redaction.ts';
import { parseSealed, type Sealer, sealedText } from '../core/sealing.ts';
import type { Kek, Keyring } from './keyring.ts';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** AES-256-GCM: nonce, what is encrypted, tag. */
function encrypt(key: Uint8Array, plain: Uint8Array, aad: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(aad));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Undefined when the key, the associated data or a bit of the box is another. */
function decrypt(key: Uint8Array, box: Buffer, aad: string): Buffer | undefined {
  if (box.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, box.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(aad))
    .setAuthTag(box.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(box.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    // Node says no more than that the tag is not right.
    return undefined;
  }
}

const wrapAad = (keyId: string) => `cloister data key of ${keyId}`;

/** A sealer on the ring, whose current key the caller may change while it is used. */
export interface SwitchableSealer extends Sealer {
  use(keyId: string): void;
}

export function createSealer(ring: Keyring, firstKeyId: string): SwitchableSealer {
  let currentKeyId = firstKeyId;

  const keyOf = (id: string): Kek => {
    let found = ring.find(id);
    if (found === undefined) {
      // Another server may have made it, or the operator added it.
      ring.reload(id);
      found = ring.find(id);
    }
    if (found !== undefined) return found;
    throw new PlatformError('encryption_key_missing', {
      detail: `A secret is sealed with the key ${id}, and ${ring.source} does not have it.`,
    });
  };

  const unwrap = (keyId: string, wrapped: string): Buffer => {
    const dataKey = decrypt(keyOf(keyId).key, Buffer.from(wrapped, 'base64url'), wrapAad(keyId));
    if (dataKey === undefined) throw unreadable(`The key ${keyId} of ${ring.source} is not the one that a secret was sealed with.`);
    return dataKey;
  };

  const wrap = (dataKey: Buffer, keyId: string): string => encrypt(keyOf(keyId).key, dataKey, wrapAad(keyId)).toString('base64url');

  return {
    get currentKeyId() {
      return currentKeyId;
    },
    use(keyId) {
      currentKeyId = keyOf(keyId).id;
    },
    seal(plaintext, aad) {
      const dataKey = randomBytes(KEY_BYTES);
      const box = encrypt(dataKey, Buffer.from(plaintext), aad).toString('base64url');
      return sealedText({ keyId: currentKeyId, wrapped: wrap(dataKey, currentKeyId), box });
    },
    open(sealed, aad) {
      const parts = parseSealed(sealed);
      if (parts === undefined) throw unreadable('What should be a sealed secret is none.');
      const plain = decrypt(unwrap(parts.keyId, parts.wrapped), Buffer.from(parts.box, 'base64url'), aad);
      if (plain === undefined) throw unreadable('A sealed secret was changed, or is that of another record.');
      return plain.toString();
    },
    rewrap(sealed) {
      const parts = parseSealed(sealed);
      if (parts === undefined || parts.keyId === currentKeyId) return undefined;
      return sealedText({ ...parts, keyId: currentKeyId, wrapped: wrap(unwrap(parts.keyId, parts.wrapped), currentKeyId) });
    },
  };
}

/** Opens what is a secret by itself, which no log shows from then on. */
export function openSecret(sealer: Sealer, sealed: string, aad: string): string {
  const secret = sealer.open(sealed, aad);
  rememberSecret(secret);
  return secret;
}

function unreadable(detail: string): PlatformError {
  return new PlatformError('secret_unreadable', { detail });
}
