import { PlatformError } from '../base/errors.ts';

export function unsupported(pointer: string, what: string): PlatformError {
  return new PlatformError('capability_unsupported', {
    detail: `This installation does not support ${what}.`,
    fields: [{ pointer, message: 'not supported here' }],
  });
}
