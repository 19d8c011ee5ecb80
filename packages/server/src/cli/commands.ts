import type { Command } from 'commander';

interface CommandEntry {
  /** What it does, for the help of the program, which loads none of them. */
  readonly about: string;
  readonly load: () => Promise<Command>;
}

/** Each command by its name, in the order of the help. Loaded when it is asked for, so that none pays for the others. */
export const COMMANDS: ReadonlyMap<string, CommandEntry> = new Map<string, CommandEntry>([
  [
    'init',
    {
      about: 'ask for the settings, try the key, and write them to config.yaml in the data directory; with --yes nothing is asked',
      load: async () => (await import('./init.ts')).initCommand(),
    },
  ],
  [
    'serve',
    {
      about: 'start the server; its settings come from the environment (see docs/configuration.md)',
      load: async () => (await import('./serve.ts')).serveCommand(),
    },
  ],
  [
    'status',
    {
      about: 'say how the running server is: exit 0 when it serves (even degraded), 3 when it cannot, 4 when none answers',
      load: async () => (await import('./status.ts')).statusCommand(),
    },
  ],
  [
    'doctor',
    {
      about: 'check engine, image, data, database, disk, clock, key and settings; no server is asked',
      load: async () => (await import('./doctor.ts')).doctorCommand(),
    },
  ],
  [
    'config',
    { about: 'the settings of this installation; no server is asked', load: async () => (await import('./config.ts')).configCommand() },
  ],
  [
    'agent',
    {
      about: 'send one message and print the answer; the session id goes to stderr',
      load: async () => (await import('./agent.ts')).agentCommand(),
    },
  ],
  ['chat', { about: 'talk with an agent', load: async () => (await import('./chat.ts')).chatCommand() }],
  ['sessions', { about: 'sessions of the running server', load: async () => (await import('./sessions.ts')).sessionsCommand() }],
  [
    'turns',
    {
      about: 'what became of each message; those in state failed are the dead letters',
      load: async () => (await import('./turns.ts')).turnsCommand(),
    },
  ],
  ['files', { about: "the files of a session's workspace", load: async () => (await import('./files.ts')).filesCommand() }],
  ['agents', { about: 'agents of the running server', load: async () => (await import('./agents.ts')).agentsCommand() }],
  [
    'environments',
    {
      about: 'environments of the running server: what sandboxes are made from',
      load: async () => (await import('./environments.ts')).environmentsCommand(),
    },
  ],
  [
    'sandboxes',
    { about: 'sandboxes that live on the server that is asked', load: async () => (await import('./sandboxes.ts')).sandboxesCommand() },
  ],
  [
    'uploads',
    {
      about: 'files that were uploaded, to be named in messages and given to sessions',
      load: async () => (await import('./uploads.ts')).uploadsCommand(),
    },
  ],
  ['skills', { about: 'skills that agents can be given', load: async () => (await import('./skills.ts')).skillsCommand() }],
  ['memory', { about: 'what agents keep from session to session', load: async () => (await import('./memory.ts')).memoryCommand() }],
  ['approvals', { about: 'what agents ask for, and the answers', load: async () => (await import('./approvals.ts')).approvalsCommand() }],
  [
    'audit',
    { about: 'who did what, and the proof that nothing of it was changed', load: async () => (await import('./audit.ts')).auditCommand() },
  ],
  [
    'services',
    { about: 'always-on agents: containers that are kept running', load: async () => (await import('./services.ts')).servicesCommand() },
  ],
  [
    'acp',
    {
      about: 'be an agent for an editor: speaks ACP on stdin and stdout, and runs nothing here',
      load: async () => (await import('./acp.ts')).acpCommand(),
    },
  ],
  ['webhooks', { about: 'endpoints that are told of what happens', load: async () => (await import('./webhooks.ts')).webhooksCommand() }],
  [
    'logs',
    {
      about: 'the log of this installation (LOG_FILE), or the events of a session where there is none',
      load: async () => (await import('./logs.ts')).logsCommand(),
    },
  ],
  ['keys', { about: 'API keys of the tenant', load: async () => (await import('./keys.ts')).keysCommand() }],
  ['users', { about: 'the people of the tenant', load: async () => (await import('./users.ts')).usersCommand() }],
  [
    'tenants',
    {
      about: 'the tenants of the installation; needs the key of who runs it',
      load: async () => (await import('./tenants.ts')).tenantsCommand(),
    },
  ],
  ['usage', { about: 'what models have cost', load: async () => (await import('./usage.ts')).usageCommand() }],
  ['budgets', { about: 'hard limits in money', load: async () => (await import('./usage.ts')).budgetsCommand() }],
  ['vaults', { about: 'credentials that agents use and never see', load: async () => (await import('./vaults.ts')).vaultsCommand() }],
  [
    'db',
    {
      about: 'look after the database that DATABASE_URL or DATA_DIR names; no server is asked',
      load: async () => (await import('./db.ts')).dbCommand(),
    },
  ],
  [
    'backup',
    {
      about: 'back up database, workspaces, conversations and shared folders, while servers are at work; no server is asked',
      load: async () => (await import('./backup.ts')).backupCommand(),
    },
  ],
  [
    'restore',
    {
      about: 'restore a backup into an empty data directory, once every checksum is right; no server may run there',
      load: async () => (await import('./backup.ts')).restoreCommand(),
    },
  ],
  [
    'prune',
    {
      about: 'list what nobody needs any more: ended deliveries, files of nobody, stopped sandboxes, former images, old backups',
      load: async () => (await import('./prune.ts')).pruneCommand(),
    },
  ],
  [
    'upgrade',
    {
      about: 'say what an upgrade to this version changes, and what to do',
      load: async () => (await import('./upgrade.ts')).upgradeCommand(),
    },
  ],
  [
    'support-bundle',
    {
      about: 'pack what somebody needs who helps you: versions, settings, findings, status, sizes and log lines, without secrets',
      load: async () => (await import('./support-bundle.ts')).supportBundleCommand(),
    },
  ],
  ['image', { about: 'what the images of sandboxes are made from', load: async () => (await import('./image.ts')).imageCommand() }],
  [
    'broker',
    {
      about: "stand between a server and the container engine's socket, and let only the server's calls through (see docs/container.md)",
      load: async () => (await import('./broker.ts')).brokerCommand(),
    },
  ],
  [
    'completions',
    {
      about: 'print a script that completes the commands and options of this program',
      load: async () => (await import('./completions.ts')).completionsCommand(),
    },
  ],
]);
