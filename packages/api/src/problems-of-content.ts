import { type ProblemDefinition, p } from './problem-kinds.ts';

/** What goes wrong with what clients give into keeping: files, skills, memory. Part of the table in `problems.ts`. */
export const PROBLEMS_OF_CONTENT = {
  stored_file_not_found: p('not_found', 'never', 'There is no such uploaded file.', 'List the uploaded files at GET /v1/files.'),
  upload_invalid: p(
    'invalid',
    'change',
    'The upload is not of the form that this route takes.',
    'Send `multipart/form-data` with the parts that /docs names for the route.',
  ),
  resource_not_found: p(
    'not_found',
    'never',
    'The session has no such resource.',
    'List the resources with GET /v1/sessions/{id}/resources.',
  ),
  skill_not_found: p('not_found', 'never', 'There is no such skill.', 'List the skills at GET /v1/skills.'),
  skill_version_not_found: p(
    'not_found',
    'never',
    'The skill has no such version.',
    'List its versions with GET /v1/skills/{id}/versions, or leave `version` out to use the latest.',
  ),
  skill_version_needed: p('conflict', 'never', 'A skill keeps at least one version.', 'Delete the skill itself, or add a version first.'),
  skill_invalid: p(
    'invalid',
    'change',
    'What was sent is no skill.',
    'Send a folder with a SKILL.md at its root whose frontmatter has a name and a description.',
  ),
  memory_store_not_found: p('not_found', 'never', 'There is no such memory store.', 'List the memory stores at GET /v1/memory_stores.'),
  memory_store_archived: p('conflict', 'never', 'The memory store is archived.', 'Use another memory store, or create one.'),
  memory_not_found: p('not_found', 'never', 'The store has no such memory.', 'List its memories with GET /v1/memory_stores/{id}/memories.'),
  memory_version_not_found: p(
    'not_found',
    'never',
    'The store has no such version of a memory.',
    'List the versions with GET /v1/memory_stores/{id}/memory_versions.',
  ),
  memory_version_current: p(
    'conflict',
    'change',
    'It is the text that the memory has now.',
    'Change or delete the memory first, then redact the version.',
  ),
  memory_path_conflict: p(
    'conflict',
    'change',
    'Another memory is in the way of this path.',
    'Use another path, or move the other memory.',
  ),
  memory_precondition_failed: p(
    'conflict',
    'change',
    'The memory was changed since you read it.',
    'Read the memory again and repeat the change on its text of now.',
  ),
  memory_limit_reached: p(
    'conflict',
    'change',
    'The store has as many memories as it may have.',
    'Delete memories that are no longer needed.',
  ),
} as const satisfies Record<string, ProblemDefinition>;
