// Writes one page per problem code to docs/problems/, from the table that the server itself answers with.
// `--check` writes nothing and fails when a page is stale, missing or of a code that is no more.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { PROBLEM_CODES, PROBLEM_KINDS, PROBLEMS, type ProblemCode, type RetryClass } from '../packages/api/src/problems.ts';

const DIRECTORY = path.resolve(import.meta.dirname, '../docs/problems');

const RETRY: Readonly<Record<RetryClass, string>> = {
  never: 'The same request fails again; do not repeat it.',
  change: 'Change the request or its circumstances first, then repeat it.',
  backoff: 'The same request may succeed later; repeat it with growing pauses, not before `Retry-After` when it is given.',
  ask: 'The outcome is not known; look before you repeat it.',
};

/** The pages by file name, as they should be. */
function problemPages(): ReadonlyMap<string, string> {
  return new Map([...PROBLEM_CODES.map((code): [string, string] => [`${code}.md`, page(code)]), ['README.md', index()]]);
}

function page(code: ProblemCode): string {
  const { kind, title, fix, retry } = PROBLEMS[code];
  const { status, type } = PROBLEM_KINDS[kind];
  return `# ${code}\n\n${title}\n\n- **Fix**: ${fix}\n- **Repeat it?** ${RETRY[retry]}\n- **HTTP status**: ${status}\n- **Error type**: \`${type}\`\n`;
}

function index(): string {
  const rows = PROBLEM_CODES.toSorted().map(
    (code) => `| [${code}](${code}.md) | ${PROBLEM_KINDS[PROBLEMS[code].kind].status} | ${PROBLEMS[code].title} |`,
  );
  return `# Problems\n\nEvery error has one of these codes: in the \`error.code\` of an answer, in \`session.error\` and \`turn.ended\` events, on the command line and on the dashboard.\n\n| code | status | what happened |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
}

function main(): void {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
  const pages = problemPages();
  mkdirSync(DIRECTORY, { recursive: true });
  const superfluous = readdirSync(DIRECTORY).filter((name) => !pages.has(name));
  const stale = [...pages].filter(([name, text]) => {
    const file = path.join(DIRECTORY, name);
    return !existsSync(file) || readFileSync(file, 'utf8') !== text;
  });
  if (values.check) {
    for (const name of [...superfluous, ...stale.map(([stalePage]) => stalePage)])
      console.error(`docs/problems/${name} is not what scripts/problem-pages.ts writes`);
    process.exitCode = superfluous.length + stale.length === 0 ? 0 : 1;
    return;
  }
  for (const name of superfluous) rmSync(path.join(DIRECTORY, name));
  for (const [name, text] of stale) writeFileSync(path.join(DIRECTORY, name), text);
  console.log(`${pages.size} pages, ${stale.length} written, ${superfluous.length} removed`);
}

if (import.meta.main) main();
