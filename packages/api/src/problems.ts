import { type ProblemDefinition, p } from './problem-kinds.ts';
import { PROBLEMS_OF_ACCESS } from './problems-of-access.ts';
import { PROBLEMS_OF_ADAPTERS } from './problems-of-adapters.ts';
import { PROBLEMS_OF_APPROVALS } from './problems-of-approvals.ts';
import { PROBLEMS_OF_BACKUP } from './problems-of-backup.ts';
import { PROBLEMS_OF_CONTENT } from './problems-of-content.ts';
import { PROBLEMS_OF_RUNNING } from './problems-of-running.ts';
import { PROBLEMS_OF_SECRETS } from './problems-of-secrets.ts';
import { PROBLEMS_OF_SPENDING } from './problems-of-spending.ts';

export { PROBLEM_KINDS, type ProblemKind, type RetryClass } from './problem-kinds.ts';

/**
 * The closed list of everything that can go wrong, in one place. Each code has a page in
 * `docs/problems/<code>.md`; a test keeps this table, those pages and the OpenAPI file equal.
 *
 * `retry` says what a client does next: `never` (the same request fails again), `change`
 * (fix the request or its circumstances first), `backoff` (the same request may succeed later),
 * `ask` (the outcome is unknown, a person decides).
 */
export const PROBLEMS = {
  // requests
  request_invalid: p(
    'invalid',
    'change',
    'The request has a field that is missing, unknown or of the wrong form.',
    'Correct the fields named in `errors`; /docs shows each field.',
  ),
  json_malformed: p('invalid', 'change', 'The request body is not valid JSON.', 'Send a JSON object in UTF-8.'),
  content_type_unsupported: p(
    'unsupported_media',
    'change',
    'The request body has a content type this route does not read.',
    'Send `Content-Type: application/json`.',
  ),
  message_too_large: p(
    'too_large',
    'change',
    'The request body is larger than this installation accepts.',
    'Send less, or put the content in a file of the workspace.',
  ),
  body_timeout: p('too_slow', 'backoff', 'The request body came too slowly.', 'Send the body without long pauses, and the request again.'),
  route_not_found: p('not_found', 'never', 'There is no such route.', 'Look at /docs for the routes there are.'),
  method_not_allowed: p(
    'method_not_allowed',
    'change',
    'This route exists but not for this method.',
    'Use one of the methods in the Allow header.',
  ),
  cursor_invalid: p('invalid', 'change', 'The page cursor was not made by this listing.', 'Leave `page` out to begin at the first page.'),
  // who
  credentials_missing: p(
    'unauthenticated',
    'change',
    'No API key came with the request.',
    'Send `X-API-Key: <key>` or `Authorization: Bearer <key>`.',
  ),
  credentials_invalid: p(
    'unauthenticated',
    'change',
    'The API key is not known here.',
    'Use the key in DATA_DIR/admin.key, or one made from it.',
  ),
  ...PROBLEMS_OF_ACCESS,
  ...PROBLEMS_OF_APPROVALS,
  // things
  agent_not_found: p('not_found', 'never', 'There is no such agent.', 'List the agents at GET /v1/agents.'),
  agent_version_not_found: p('not_found', 'never', 'The agent has no such version.', 'Leave `version` out to use the newest.'),
  agent_archived: p('conflict', 'never', 'The agent is archived.', 'Use another agent, or create one.'),
  agent_version_conflict: p(
    'conflict',
    'change',
    'The agent was changed since the version you named.',
    'Read the agent again and repeat the update on its newest version.',
  ),
  environment_not_found: p('not_found', 'never', 'There is no such environment.', 'List the environments at GET /v1/environments.'),
  environment_archived: p('conflict', 'never', 'The environment is archived.', 'Use another environment, or create one.'),
  session_not_found: p('not_found', 'never', 'There is no such session.', 'List the sessions at GET /v1/sessions.'),
  session_archived: p('conflict', 'never', 'The session is archived and takes no more events.', 'Create a new session.'),
  turn_not_found: p(
    'not_found',
    'never',
    'There is no such turn in this session.',
    'List the turns of the session with GET /v1/sessions/{id}/turns.',
  ),
  turn_ended: p(
    'conflict',
    'change',
    'The turn has ended, so there is nothing left to stop.',
    'Read its outcome with GET /v1/sessions/{id}/turns/{turn_id}.',
  ),
  turn_not_retryable: p(
    'conflict',
    'change',
    'Only a turn that failed, was interrupted or was cancelled can be tried again.',
    'Wait until the turn has ended, or send the message anew.',
  ),
  session_busy: p(
    'conflict',
    'change',
    'The session is in the middle of a turn.',
    'Wait until it is idle, or send `user.interrupt` first.',
  ),
  session_elsewhere: p(
    'conflict',
    'backoff',
    'Another server has the sandbox or the files of the session.',
    'Send the request again in a while, or to a server that has the files of the session.',
  ),
  event_not_found: p('not_found', 'never', 'There is no such event in this session.', 'List the events at GET /v1/sessions/{id}/events.'),
  approval_not_pending: p(
    'conflict',
    'never',
    'This tool call does not wait for an answer.',
    'Answer only the event ids in the last `session.status_idle`.',
  ),
  service_not_found: p('not_found', 'never', 'There is no such service.', 'List the services at GET /v1/services.'),
  service_exists: p('conflict', 'change', 'There is such a service already.', 'Use the one there is, or delete it first.'),
  service_deleting: p('conflict', 'never', 'The service is being deleted.', 'Create another service.'),
  service_limit_reached: p('conflict', 'change', 'There are as many services as there may be.', 'Delete one that is no longer needed.'),
  service_ports_exhausted: p(
    'exhausted',
    'change',
    'No port of the pool for services is free.',
    'Delete a service that is no longer needed, or widen SERVICE_PORTS.',
  ),
  service_port_taken: p(
    'conflict',
    'backoff',
    "Another program has the service's port on the host.",
    'Nothing: the service gets another port of the pool.',
  ),
  service_not_running: p('conflict', 'change', 'The service has no running container.', 'Start it with POST /v1/services/{id}/start.'),
  service_elsewhere: p(
    'conflict',
    'change',
    'The service runs on a host that this server does not reach.',
    'Ask a server that uses the same container engine as the service.',
  ),
  webhook_not_found: p('not_found', 'never', 'There is no such webhook.', 'List the webhooks at GET /v1/webhooks.'),
  webhook_limit_reached: p('conflict', 'change', 'There are as many webhooks as there may be.', 'Delete one that is no longer needed.'),
  webhook_disabled: p(
    'conflict',
    'change',
    'The webhook is disabled.',
    'Put the endpoint right, then enable the webhook: `POST /v1/webhooks/{id}` with `{"enabled": true}`.',
  ),
  delivery_not_found: p(
    'not_found',
    'never',
    'The webhook has no such delivery.',
    'List the deliveries at GET /v1/webhooks/{id}/deliveries.',
  ),
  // files of workspaces
  path_invalid: p(
    'invalid',
    'change',
    'The path is none that a workspace can have.',
    'Give a path relative to the workspace, such as `src/main.ts`, without `..` and control characters.',
  ),
  file_not_found: p(
    'not_found',
    'never',
    'There is no such file or directory in the workspace.',
    'List the directory with GET /v1/sessions/{id}/files; links are shown there, and not followed.',
  ),
  file_conflict: p(
    'conflict',
    'change',
    'Something else is in the way, or the files changed meanwhile.',
    'Look at what is there with GET /v1/sessions/{id}/files; give `recursive` or `overwrite` where that is meant.',
  ),
  file_refused: p(
    'unprocessable',
    'change',
    'This is no file that is read or written from outside.',
    'Let the agent copy it to a regular file; links, pipes, sockets and devices are not opened.',
  ),
  file_too_large: p('too_large', 'change', 'The file is larger than this installation takes.', 'Send less, or raise MAX_FILE_BYTES.'),
  range_invalid: p(
    'range_unsatisfiable',
    'change',
    'The file has no such range.',
    'Ask for a range within the size that the listing gives.',
  ),
  archive_invalid: p(
    'unprocessable',
    'change',
    'The archive cannot be taken; nothing was changed.',
    'Send a tar or tar.gz with plain files, directories, and links that stay inside it.',
  ),
  archive_too_large: p(
    'too_large',
    'change',
    'The archive holds more than this installation takes; nothing was changed.',
    'Send it in parts, or raise MAX_ARCHIVE_BYTES.',
  ),
  snapshot_not_found: p(
    'not_found',
    'never',
    'The session has no such snapshot.',
    'List the snapshots with GET /v1/sessions/{id}/snapshots.',
  ),
  snapshot_limit_reached: p('conflict', 'change', 'The session has as many snapshots as it may.', 'Delete one that is no longer needed.'),
  workspace_full: p(
    'storage_full',
    'change',
    'The files of the session take as much as they may.',
    'Delete some with DELETE /v1/sessions/{id}/files, or use an environment with a larger `disk`.',
  ),
  workspace_unavailable: p(
    'unavailable',
    'backoff',
    'The disk of the session could not be made or mounted.',
    'Run the server as root, with mount, mkfs.ext4 and loop devices, as when the session was made; the log has the reason.',
  ),
  idempotency_mismatch: p(
    'unprocessable',
    'never',
    'This Idempotency-Key was used with another request body.',
    'Use a new key for a new request.',
  ),
  idempotency_in_flight: p(
    'conflict',
    'backoff',
    'The first request with this Idempotency-Key is still running.',
    'Repeat the request in a moment.',
  ),
  // what an agent may be
  harness_unknown: p(
    'unprocessable',
    'change',
    'This installation has no such harness.',
    'Use one of the harnesses that the message names.',
  ),
  model_unknown: p(
    'unprocessable',
    'change',
    'No configured provider serves this model.',
    "Name a model with its provider, such as `anthropic/<model>`, or set that provider's key.",
  ),
  provider_not_configured: p(
    'unprocessable',
    'change',
    "The model's provider has no key here.",
    "Set the provider's key in the server's environment and restart it.",
  ),
  capability_unsupported: p(
    'unprocessable',
    'never',
    'This installation cannot do what the request asks for.',
    'Leave the named field out, or use an installation that has it.',
  ),
  network_unrestricted_refused: p(
    'forbidden',
    'never',
    'Unrestricted networking is not allowed on this installation.',
    'Use `limited` with `allowed_hosts`, or ask the operator.',
  ),
  runtime_class_missing: p(
    'unprocessable',
    'change',
    'The environment asks for a container runtime that cannot be had here.',
    "Use one that the message names, or register it with the engine and, where the operator's list is set, in CLOISTER_RUNTIME_CLASSES.",
  ),
  mount_refused: p(
    'forbidden',
    'change',
    'The environment asks for a mount that is not allowed here.',
    "Use a folder that the operator's MOUNT_ALLOWLIST allows, `memory` or `shared`, and a target below /mnt.",
  ),
  ...PROBLEMS_OF_CONTENT,
  ...PROBLEMS_OF_RUNNING,
  ...PROBLEMS_OF_ADAPTERS,
  ...PROBLEMS_OF_SPENDING,
  ...PROBLEMS_OF_SECRETS,
  ...PROBLEMS_OF_BACKUP,
} as const satisfies Record<string, ProblemDefinition>;

export type ProblemCode = keyof typeof PROBLEMS;

export const PROBLEM_CODES = Object.keys(PROBLEMS) as readonly ProblemCode[];

export function isProblemCode(value: unknown): value is ProblemCode {
  return typeof value === 'string' && Object.hasOwn(PROBLEMS, value);
}
