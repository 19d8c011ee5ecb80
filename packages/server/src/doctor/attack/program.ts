import { attackDevices, attackFiles, attackSystem, plantTricks } from './files.ts';
import { attackCalls, attackProcesses, attackRights } from './kernel.ts';
import { type AttackInput, createKit } from './kit.ts';
import { attackLimits, attackMemory, attackWorkspace } from './limits.ts';
import { attackGateway, attackNames, attackNetwork, attackSockets } from './network.ts';

const ATTACKS = [
  attackNetwork,
  attackNames,
  attackGateway,
  attackSockets,
  attackSystem,
  attackFiles,
  attackDevices,
  attackRights,
  attackProcesses,
  attackCalls,
  plantTricks,
  attackLimits,
  attackWorkspace,
  attackMemory,
] as const;

/** Longest life of a sandbox under attack, should nobody stop it. */
const LIFE_SECONDS = 130;

/** The whole suite as one program, for Node to run inside: it needs nothing of the image but Node itself. */
export function attackProgram(input: AttackInput): string {
  return programOf(ATTACKS, input);
}

/** What the suite ends with, alone: a look at all processes, and output without end. */
export function closingProgram(input: AttackInput): string {
  return programOf([], input);
}

function programOf(attacks: readonly (typeof ATTACKS)[number][], input: AttackInput): string {
  const parts = attacks.map((attack) => `await (${attack.toString()})(kit);`);
  return `(async () => {
${endAfter(3)}
process.on('uncaughtException', (error) => { process.stderr.write(String(error && error.stack)); process.exit(4); });
const kit = (${createKit.toString()})(${JSON.stringify(input)});
const fs = process.getBuiltinModule('node:fs');
${parts.join('\n')}
const seen = [];
for (const id of fs.readdirSync('/proc')) { try { if (/^\\d+$/.test(id)) seen.push(fs.readFileSync('/proc/' + id + '/environ', 'latin1'), fs.readFileSync('/proc/' + id + '/cmdline', 'latin1')); } catch {} }
process.stdout.write(JSON.stringify({ seen: seen.join('\\n') }) + '\\n');
const line = 'x'.repeat(8191) + '\\n';
for (let n = 0; n < ${input.floodMib * 128}; n += 1) if (!process.stderr.write(line)) await new Promise((go) => process.stderr.once('drain', go));
process.stdout.write(JSON.stringify({ done: true }) + '\\n', () => process.exit(0));
})();`;
}

/** The other sandbox: it listens, and would notice a visitor. */
export function neighbourProgram(port: number): string {
  return `${endAfter(0)} require('node:net').createServer((s) => { console.log('visited'); s.destroy(); }).listen(${port}, '0.0.0.0', () => console.log('ready'));`;
}

/** Ends the program in any case, and keeps none alive. */
function endAfter(exitCode: number): string {
  return `{ const { setTimeout: wait } = require('node:timers/promises'); void wait(${LIFE_SECONDS * 1000}, 0, { ref: false }).then(() => process.exit(${exitCode})); }`;
}
