import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { chromium } from 'playwright-core';
import { engineMissing } from '../support/engine.ts';
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

describe('the dashboard on a real server', () => {
  it('takes a newcomer from the key to an answer out of a real sandbox', async (t) => {
    if (!existsSync(CHROMIUM)) return t.skip('needs chromium');
    const missing = await engineMissing();
    if (missing !== false) return t.skip(missing);
    await using server = await startServerProcess({ env: {} });
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    try {
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('console', (message) => {
        if (message.type() === 'error') problems.push(message.text());
      });
      await page.goto(`${server.url}/dashboard`);
      await page.getByLabel(/key/i).first().fill(ADMIN_KEY);
      await page.keyboard.press('Enter');
      await page.getByText('Demo model.').waitFor();
      await page.getByRole('button', { name: 'New session' }).first().click();
      await page.getByRole('button', { name: 'Start', exact: true }).click();
      await page.locator('textarea').fill('run echo from-$((40+2))-the-sandbox');
      await page.keyboard.press('Enter');
      await page.getByText('from-42-the-sandbox').filter({ visible: true }).first().waitFor();
      await page.getByText('ready', { exact: true }).first().waitFor();
      await page.reload();
      await page.getByText('from-42-the-sandbox').filter({ visible: true }).first().waitFor();
      assert.deepEqual(problems, [], 'no error and nothing refused by the content security policy');
    } finally {
      await browser.close();
    }
  });
});
