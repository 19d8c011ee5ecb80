import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { it } from 'node:test';
import { chromium } from 'playwright-core';
import { ADMIN_KEY, startServerProcess } from '../support/server-process.ts';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

it('the page of the API asks for the key and shows every route, from our own files alone', async (t) => {
  if (!existsSync(CHROMIUM)) return t.skip('needs chromium');
  await using server = await startServerProcess({ env: { CLOISTER_RUNTIME: 'fake' } });
  const problem = await fetch(`${server.url}/v1/agents`, { headers: { accept: 'application/problem+json' } });
  const { type }: { type: string } = JSON.parse(await problem.text());
  assert.match(
    await (await fetch(`${server.url}${type}`)).text(),
    /^credentials_missing\n.*Fix: Send/s,
    'the type of a problem leads to its explanation',
  );
  assert.equal((await fetch(`${server.url}/openapi.json`)).status, 401, 'the description itself needs the key');
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  try {
    const page = await browser.newPage();
    const elsewhere: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:')) elsewhere.push(request.url());
    });
    await page.goto(`${server.url}/docs`);
    await page.getByLabel('API key').fill('clst_wrong');
    await page.getByRole('button').click();
    await page.getByText('The API key is not known here.').waitFor();
    await page.getByLabel('API key').fill(ADMIN_KEY);
    await page.getByRole('button').click();
    await page.getByText('Send events; when it answers they are on disk').first().waitFor();
    assert.deepEqual(elsewhere, []);
  } finally {
    await browser.close();
  }
});
