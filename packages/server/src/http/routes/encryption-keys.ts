import { encryptionKeyDeletedSchema, encryptionKeyListSchema, keyRotationSchema } from '@cloister/api';
import { toTimestamp } from '../../base/clock.ts';
import { type RouteTable, route } from '../openapi.ts';

/** The keys that secrets are sealed with, for who runs the installation. */
export function encryptionKeyRoutes(table: RouteTable): void {
  const { encryptionKeys } = table.deps;
  const tag = 'Encryption keys';
  route(
    table,
    {
      method: 'get',
      path: '/v1/encryption_keys',
      operationId: 'listEncryptionKeys',
      summary: 'The keys that secrets are sealed with, and how many are',
      tag,
      response: encryptionKeyListSchema,
    },
    async () => ({
      data: (await encryptionKeys.list()).map(({ id, isCurrent, isHere, uses, createdAt }) => ({
        id,
        type: 'encryption_key' as const,
        current: isCurrent,
        available: isHere,
        uses,
        created_at: createdAt === null ? null : toTimestamp(createdAt),
      })),
    }),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/encryption_keys/rotate',
      operationId: 'rotateEncryptionKey',
      summary: 'Seal with the newest key from now on, and what there is in the background',
      tag,
      response: keyRotationSchema,
      problems: ['encryption_key_missing'],
    },
    async () => {
      const { keyId, isNew } = await encryptionKeys.rotate();
      return { type: 'encryption_key_rotation' as const, key_id: keyId, new: isNew };
    },
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/encryption_keys/{id}',
      operationId: 'deleteEncryptionKey',
      summary: 'Remove a key that nothing is sealed with',
      tag,
      response: encryptionKeyDeletedSchema,
      problems: ['encryption_key_not_found', 'encryption_key_in_use'],
    },
    async ({ param }) => {
      await encryptionKeys.remove(param('id'));
      return { id: param('id'), type: 'encryption_key_deleted' as const };
    },
  );
}
