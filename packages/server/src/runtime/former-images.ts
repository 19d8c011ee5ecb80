import { systemClock } from '../base/clock.ts';
import type { EndpointOptions } from './docker/endpoint.ts';
import { createEngine, type Engine } from './docker/engine.ts';
import { imageDetails, removeImage, untaggedImages } from './docker/image.ts';

/** On every image that we make; see image.ts. */
const VARIANT_LABEL = 'cloister.image.variant';
const VERSION_LABEL = 'org.opencontainers.image.version';

/** Images of ours that no tag points to any more. */
export async function formerImages(endpoint: EndpointOptions): Promise<readonly string[]> {
  return withEngine(endpoint, async (engine) => (await untaggedImages(engine, VARIANT_LABEL)).map(({ id }) => id));
}

/** False for one that is still in use: it stays. */
export async function removeFormerImage(endpoint: EndpointOptions, id: string): Promise<boolean> {
  return withEngine(endpoint, (engine) => removeImage(engine, id));
}

/** The version that an image says it is of: null when it says none, undefined when there is no such image. */
export async function imageVersion(endpoint: EndpointOptions, image: string): Promise<string | null | undefined> {
  return withEngine(endpoint, async (engine) => {
    const found = await imageDetails(engine, image);
    return found === undefined ? undefined : (found.labels[VERSION_LABEL] ?? null);
  });
}

async function withEngine<T>(endpoint: EndpointOptions, work: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = createEngine({ ...endpoint, clock: systemClock });
  try {
    return await work(engine);
  } finally {
    engine.close();
  }
}
