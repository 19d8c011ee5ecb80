import { VERSION } from '../base/version.ts';
import { keepCompiled } from './compile-cache.ts';
import { EXIT } from './exit-codes.ts';

/** A reader that has enough, such as `head`, is no error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exitCode = error.code === 'EPIPE' ? EXIT.ok : EXIT.failed;
});

const [first, ...rest] = process.argv.slice(2);
const wanted = first === 'help' ? rest[0] : first;
if ((first === '--version' || first === '-V') && rest.length === 0) process.stdout.write(`${VERSION}\n`);
else await run();

async function run(): Promise<void> {
  keepCompiled();
  try {
    // Only what is asked for is loaded.
    const { createProgram } = await import('./program.ts');
    await (await createProgram((name) => name === wanted)).parseAsync();
  } catch (error) {
    const { exitCodeOfUsage } = await import('./usage-error.ts');
    process.exitCode = exitCodeOfUsage(error) ?? (await import('./errors.ts')).reportError(error);
  }
}
