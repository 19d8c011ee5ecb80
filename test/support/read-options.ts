/** The options of a program for developers: `--help` prints how it is called, and so does an option that there is not. */
export function readOptions<T>(usage: string, parse: () => T): T {
  if (process.argv.slice(2).some((word) => word === '--help' || word === '-h')) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parse();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    process.exit(2);
  }
}
