import { invariant } from '../../base/errors.ts';
import type { LinkStore, SessionLink } from '../store.ts';
import type { Engine } from './engine.ts';
import { getAs, type Row, run } from './query.ts';
import { optionalText, text } from './rows.ts';

const FIND = 'SELECT session_id, turn_id FROM session_links WHERE tenant_id = :tenantId AND kind = :kind AND name = :name';
const INSERT = `INSERT INTO session_links (tenant_id, kind, name, session_id, turn_id, created_at)
  VALUES (:tenantId, :kind, :name, :sessionId, :turnId, :now)`;
const CLAIM = `${INSERT} ON CONFLICT (tenant_id, kind, name) DO NOTHING`;
const PUT = `${INSERT} ON CONFLICT (tenant_id, kind, name)
  DO UPDATE SET session_id = :sessionId, turn_id = :turnId, created_at = :now`;
const FORGET_OTHERS = `DELETE FROM session_links
  WHERE tenant_id = :tenantId AND session_id = :sessionId AND kind = :kind AND name <> :name`;

export function createLinkStore(engine: Engine): LinkStore {
  return {
    find: ({ tenantId, kind, name }) => engine.read(() => getAs(parseLink, FIND, { tenantId, kind, name })),
    claim: ({ tenantId, kind, name, sessionId, turnId, now }) =>
      engine.write(function* () {
        yield* run(CLAIM, { tenantId, kind, name, sessionId, turnId, now });
        const link = yield* getAs(parseLink, FIND, { tenantId, kind, name });
        invariant(link !== undefined, 'a name that was claimed is somebody’s');
        return link;
      }),
    async replace({ tenantId, kind, name, sessionId, turnId, now }) {
      await engine.write(function* () {
        yield* run(PUT, { tenantId, kind, name, sessionId, turnId, now });
        yield* run(FORGET_OTHERS, { tenantId, kind, name, sessionId });
      });
    },
  };
}

function parseLink(row: Row): SessionLink {
  return { sessionId: text(row, 'session_id'), turnId: optionalText(row, 'turn_id') };
}
