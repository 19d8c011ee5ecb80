/** Commands that this test does not run, by what does. Every entry has to match a command, or it is out of date. */

export interface RunElsewhere {
  readonly command: RegExp;
  /** From the root of the repository; part of `npm test` or of the workflows of CI. */
  readonly file: string;
  /** What in that file runs the command. */
  readonly says: string;
}

export const RUN_ELSEWHERE: readonly RunElsewhere[] = [
  { command: /^\.\/docker-start\.sh$/, file: 'packages/server/test/deploy/installation.ts', says: './docker-start.sh' },
  {
    command: /^\.\/docker-start\.sh --(bind-mounts|postgres|memory)$/,
    file: 'packages/server/test/deploy/compose.e2e.test.ts',
    says: "own.script('--$1')",
  },
  { command: /^docker compose up -d --build$/, file: 'docker-start.sh', says: 'up ' },
  { command: /^docker compose exec cloister /, file: 'packages/server/test/deploy/compose.e2e.test.ts', says: "'exec', '-T', 'cloister'" },
  { command: /^npm run image -- --harness claude$/, file: 'scripts/run-tests.ts', says: "['scripts/image.ts', '--harness', 'claude']" },
  { command: /^npx node scripts\/image-smoke\.ts$/, file: '.github/workflows/ci.yml', says: 'node scripts/image-smoke.ts' },
  { command: /^npx node scripts\/report\.ts --compressed$/, file: '.github/workflows/ci.yml', says: 'node scripts/report.ts' },
  {
    command: /^docker (build --tag|run (-d|--rm --network none)|volume (create|rm)|exec|stop|rm) |^until docker exec /,
    file: 'packages/server/test/deploy/docker-run.e2e.test.ts',
    says: "blockOf('docs/deploy.md'",
  },
  { command: /^docker-compose (up|exec|down)/, file: 'packages/server/test/deploy/servers.ts', says: 'docs/scaling.md' },
  { command: /^docker buildx build /, file: '.github/workflows/release.yml', says: 'docker buildx build' },
  { command: /^npm run build( |$)/, file: 'scripts/run-tests.ts', says: "'scripts/build.ts'" },
  { command: /^npm install --global /, file: 'scripts/package.test.ts', says: "'--global'" },
  { command: /^cloister serve$/, file: 'scripts/package.test.ts', says: "'serve'" },
  { command: /^node example\.ts$/, file: 'packages/server/test/api/client-docs.test.ts', says: 'docs/client.md' },
  { command: /^npm test$/, file: '.ci/run', says: 'npm test' },
  { command: /^npm test -- --only egress$/, file: 'scripts/run-tests.ts', says: 'options.only' },
  { command: /^npx node --test <file>$/, file: 'scripts/run-tests.ts', says: "'--test'" },
  { command: /^npm run check$/, file: 'scripts/run-tests.ts', says: 'scripts/check.ts' },
  { command: /^npm run torture -- --kills /, file: 'packages/server/test/crash/torture.test.ts', says: 'runTorture' },
  { command: /^npm run torture -- --store postgres /, file: 'packages/server/test/crash/torture.test.ts', says: "store: 'postgres'" },
  { command: /^npm run torture -- --faults disk-full /, file: 'packages/server/test/crash/torture.test.ts', says: "faults: ['disk-full']" },
  { command: /^npm run simulate /, file: 'test/simulation/simulation.test.ts', says: 'seed' },
  { command: /^npm run soak /, file: 'test/soak/soak.test.ts', says: 'runSoak' },
  { command: /^DATABASE_URL=postgres:\/\/\S+ npm start$/, file: 'packages/server/test/api/two-servers.test.ts', says: 'DATABASE_URL' },
  { command: /^DATABASE_URL=postgres:\/\/… npx cloister db move$/, file: 'packages/server/src/cli/db.test.ts', says: "'db', 'move'" },
  { command: /^npx cloister restore .* --to-database /, file: 'packages/server/test/backup/backup.test.ts', says: "'--to-database'" },
  { command: /^CLOISTER_RUNTIME=podman npm start$/, file: 'packages/server/test/e2e/warm-pool.e2e.test.ts', says: 'podman' },
  {
    command: /^curl --unix-socket \/run\/cloister\/callback\.sock /,
    file: 'packages/server/test/e2e/services-suite.ts',
    says: 'callback.sock',
  },
];

export interface NotRun {
  readonly command: RegExp;
  readonly why: string;
}

export const NOT_RUN: readonly NotRun[] = [
  { command: /^sudo |\| sudo install /, why: 'changes the host as root; the unit itself is verified by test/deploy/units.test.ts' },
  { command: /^journalctl /, why: 'needs systemd as the first process' },
  { command: /^systemctl --user /, why: 'needs systemd and a user who is signed in' },
  { command: /^docker run --rm -it /, why: 'a shell for a person, in a container beside those of Compose' },
  { command: /docker secret create /, why: 'needs a swarm' },
  { command: /mirror\.example\.org/, why: 'the mirror is an example' },
  { command: /^docker build -t my-sandbox:1 \.$/, why: 'fetches packages of Debian from outside' },
  { command: /^npm run bench$/, why: 'measures for minutes, and other work on the machine shows in the numbers' },
];
