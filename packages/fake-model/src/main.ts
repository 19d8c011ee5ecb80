import { parseArgs } from 'node:util';
import { startFakeModel } from './server.ts';

/** `node packages/fake-model/src/main.ts --port 0 --need-key K`: prints one line `LISTEN <port>`. */
const { values } = parseArgs({ options: { port: { type: 'string', default: '0' }, 'need-key': { type: 'string' } } });
const key = values['need-key'];
const model = await startFakeModel({ port: Number(values.port), ...(key === undefined ? {} : { requireKey: key }) });
process.stdout.write(`LISTEN ${model.port}\n`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void model.close());
