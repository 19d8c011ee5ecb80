import type { ParsedEventParam } from '@cloister/api';
import { unsupported } from '../agents/definition.ts';

const SUPPORTED = ['user.message', 'user.interrupt', 'user.tool_confirmation'] as const;
export type SupportedEvent = Extract<ParsedEventParam, { type: (typeof SUPPORTED)[number] }>;
type Block = Extract<SupportedEvent, { type: 'user.message' }>['content'][number];

/** The same events; throws `capability_unsupported` at the first published thing that nothing here stands behind. */
export function requireSupported(events: readonly ParsedEventParam[], pointer: '/events' | '/initial_events'): readonly SupportedEvent[] {
  return events.map((event, index) => {
    const at = `${pointer}/${index}`;
    if (!isSupported(event)) throw unsupported(`${at}/type`, `events of type ${event.type}`);
    if (event.type === 'user.message') refuseBlocks(event.content, `${at}/content`);
    if (event.type === 'user.interrupt' && event.session_thread_id) throw unsupported(`${at}/session_thread_id`, 'threads of a session');
    return event;
  });
}

function isSupported(event: ParsedEventParam): event is SupportedEvent {
  return SUPPORTED.some((type) => type === event.type);
}

function refuseBlocks(content: readonly Block[], pointer: string): void {
  for (const [index, block] of content.entries()) {
    const at = `${pointer}/${index}`;
    if (block.type === 'image' || block.type === 'document') {
      const { type } = block.source;
      if (type === 'url') throw unsupported(`${at}/source/type`, 'content from a URL; upload it, or send it as base64');
    } else if (block.type !== 'text') throw unsupported(`${at}/type`, `content of type ${block.type}`);
  }
}

/** The files that messages name. */
export function filesOf(events: readonly SupportedEvent[]): readonly string[] {
  const blocks = events.flatMap((event) => (event.type === 'user.message' ? event.content : []));
  return blocks.flatMap((block) =>
    (block.type === 'image' || block.type === 'document') && block.source.type === 'file' ? [block.source.file_id] : [],
  );
}
