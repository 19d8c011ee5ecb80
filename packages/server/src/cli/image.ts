import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';

/** Loaded when it is needed, so that the other commands start without the engine's client. */
const images = () => import('../prepare-images.ts');

export function imageCommand(): Command {
  return new Command('image')
    .description('what the images of sandboxes are made from')
    .addCommand(
      new Command('context')
        .description('write recipe and programs of the sandbox image to standard output, as a tar for `docker build -`')
        .option('--variant <name>', 'only what this one needs: minimal, default, claude or full')
        .action(writeContext),
    );
}

async function writeContext({ variant }: { variant?: string }): Promise<void> {
  const { sandboxImageContext } = await images();
  const found = await sandboxImageContext(variant);
  if (found.type === 'unknown')
    throw new CommandError(EXIT.usage, {
      title: `There is no variant ${variant} of the sandbox image.`,
      fix: `Name one of ${found.variants.join(', ')}.`,
    });
  if (process.stdout.isTTY)
    throw new CommandError(EXIT.usage, {
      title: 'A tar is nothing for a terminal.',
      fix: 'Give it to the builder: cloister image context | docker build --tag cloister-sandbox --target default -',
    });
  await pipeline(found.tar, process.stdout);
}
