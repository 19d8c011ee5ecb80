/** What Claude Agent HTTP publishes as examples, request by request: its collection, and the calls of its documents. */
export interface Published {
  readonly what: string;
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** `{session}` stands for the id that the last creation answered. */
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly accept?: string;
  readonly status: number;
  /** Fields that its clients read from the answer. */
  readonly fields?: readonly string[];
}

const SESSION = ['session_id', 'user_id', 'cwd', 'created_at', 'last_active_at', 'message_count', 'status', 'metadata'];
const CHAT = ['session_id', 'text', 'tool_calls', 'timestamp'];
const sessions = '/api/v1/sessions';

export const COLLECTION: readonly Published[] = [
  { what: 'health', method: 'GET', path: '/health', status: 200, fields: ['status', 'version'] },
  { what: 'the root', method: 'GET', path: '/', status: 200, fields: ['name', 'version', 'docs', 'health'] },
  { what: 'a session by its user', method: 'POST', path: sessions, body: { user_id: 'testuser' }, status: 201, fields: SESSION },
  {
    what: 'a session in a directory',
    method: 'POST',
    path: sessions,
    body: { user_id: 'testuser', subdir: 'my-project' },
    status: 201,
    fields: SESSION,
  },
  {
    what: 'a session with metadata',
    method: 'POST',
    path: sessions,
    body: { user_id: 'testuser', subdir: 'my-project', metadata: { env: 'production', app: 'myapp' } },
    status: 201,
    fields: SESSION,
  },
  { what: 'all sessions', method: 'GET', path: sessions, status: 200 },
  { what: 'the sessions of a user', method: 'GET', path: `${sessions}?user_id=testuser`, status: 200 },
  { what: 'a session', method: 'GET', path: `${sessions}/{session}`, status: 200, fields: SESSION },
  { what: 'a resumption', method: 'POST', path: `${sessions}/{session}/resume`, status: 200, fields: SESSION },
  {
    what: 'a message',
    method: 'POST',
    path: '/api/v1/chat',
    body: { session_id: '{session}', message: 'What is 2 + 2?' },
    status: 200,
    fields: CHAT,
  },
  {
    what: 'a streamed message',
    method: 'POST',
    path: '/api/v1/chat/stream',
    body: { session_id: '{session}', message: 'Write a hello world program in Python' },
    accept: 'text/event-stream',
    status: 200,
  },
  { what: 'a deletion', method: 'DELETE', path: `${sessions}/{session}`, status: 204 },
];

/** The way through that its documents show, with two messages in one conversation. */
export const WALKTHROUGH: readonly Published[] = [
  { what: 'health', method: 'GET', path: '/health', status: 200, fields: ['status', 'version'] },
  {
    what: 'a session',
    method: 'POST',
    path: sessions,
    body: { user_id: 'demo_user', subdir: 'demo-project' },
    status: 201,
    fields: SESSION,
  },
  {
    what: 'a message',
    method: 'POST',
    path: '/api/v1/chat',
    body: { session_id: '{session}', message: 'List the files here, please' },
    status: 200,
    fields: CHAT,
  },
  {
    what: 'another one',
    method: 'POST',
    path: '/api/v1/chat',
    body: { session_id: '{session}', message: 'Make a file README.md' },
    status: 200,
    fields: CHAT,
  },
  { what: 'its state', method: 'GET', path: `${sessions}/{session}`, status: 200, fields: SESSION },
  { what: 'its end', method: 'DELETE', path: `${sessions}/{session}`, status: 204 },
  { what: 'what is gone', method: 'GET', path: `${sessions}/{session}`, status: 404, fields: ['detail'] },
  { what: 'a user of no name', method: 'POST', path: sessions, body: { user_id: '../invalid' }, status: 422, fields: ['detail'] },
];
