import { isPlatformError } from '../base/errors.ts';
import { ensureSandboxImage, isSandboxImageCurrent, type SandboxImageRequest } from './image.ts';

const LESS =
  'The sandbox image has only Node.js and a shell: no git, Python, ripgrep, jq or curl, since their Debian packages could not be installed. ' +
  'To try again: npm run image';

/**
 * Makes the default image, or the minimal one under the same tag where Debian's packages cannot be had: agents work
 * with either, and a start must not depend on the network. What is missing is told by `warn`, at later starts too,
 * which do not try again by themselves. Throws as `ensureSandboxImage` does when not even the minimal one can be made.
 */
export async function ensureDefaultImage(
  request: Omit<SandboxImageRequest, 'variant'> & { readonly warn: (line: string) => void },
): Promise<{ readonly variant: 'minimal' | 'default' }> {
  const minimal: SandboxImageRequest = { ...request, variant: 'minimal' };
  if (await isSandboxImageCurrent(minimal)) {
    request.warn(LESS);
    return { variant: 'minimal' };
  }
  try {
    await ensureSandboxImage({ ...request, variant: 'default' });
    return { variant: 'default' };
  } catch (error) {
    if (!isPlatformError(error, 'image_build_failed')) throw error;
    // When this fails as well, the network is not what is wrong, and its error says what is.
    await ensureSandboxImage(minimal);
    request.warn(LESS);
    return { variant: 'minimal' };
  }
}
