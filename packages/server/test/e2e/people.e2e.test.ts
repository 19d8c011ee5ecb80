import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { chromium, type Page } from 'playwright-core';
import { buildDashboard } from '../../../dashboard/build.ts';
import { startTestServer } from '../support/server.ts';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-quic', '--disable-background-networking', '--disable-sync', '--no-first-run'];
const PASSWORD = 'correct horse battery';

describe('people in the dashboard', { skip: existsSync(CHROMIUM) ? false : 'needs chromium', timeout: 120_000 }, () => {
  it('are invited, join, come back with their password, and leave', async () => {
    await buildDashboard();
    await using server = await startTestServer();
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    const problems: string[] = [];
    const open = async (address: string): Promise<Page> => {
      const page = await (await browser.newContext()).newPage();
      page.setDefaultTimeout(20_000);
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('console', (message) => {
        if (message.text().includes('Content Security Policy')) problems.push(message.text());
      });
      await page.goto(address);
      return page;
    };
    try {
      const admin = await open(`${server.url}/dashboard`);
      await admin.getByLabel('API key').fill(server.key);
      await admin.keyboard.press('Enter');
      await admin.getByRole('link', { name: 'Keys' }).click();
      await admin.getByLabel('Name').fill('ci');
      await admin.getByRole('button', { name: 'Create key' }).click();
      assert.match((await admin.locator('.once').textContent()) ?? '', /^clo_k_[0-9A-Za-z]{49}$/);
      await admin.getByRole('link', { name: 'People' }).click();
      await admin.getByLabel('Email').fill('ada@example.org');
      await admin.getByRole('button', { name: 'Invite' }).click();
      const link = (await admin.locator('.once').textContent()) ?? '';

      const ada = await open(link);
      await ada.getByLabel('Your name').fill('Ada');
      await ada.getByLabel(/password/).fill(PASSWORD);
      await ada.getByRole('button', { name: 'Join' }).click();
      await ada.getByRole('link', { name: 'Account' }).click();
      await ada.getByText('ada@example.org').waitFor();
      assert.equal(await ada.evaluate('document.cookie'), '', 'scripts see no cookie');
      await ada.reload();
      await ada.getByText('ada@example.org').waitFor();
      await ada.getByRole('button', { name: 'Sign out', exact: true }).click();
      await ada.getByLabel('Email').fill('ada@example.org');
      await ada.getByLabel('Password').fill('not the password');
      await ada.getByRole('button', { name: 'Continue' }).click();
      await ada.getByText('do not belong together').waitFor();
      await ada.getByLabel('Password').fill(PASSWORD);
      await ada.getByRole('button', { name: 'Continue' }).click();
      await ada.getByRole('link', { name: 'Account' }).waitFor();

      await admin.reload();
      await admin.getByRole('button', { name: 'Disable' }).click();
      await admin.getByText('disabled', { exact: true }).waitFor();
      await ada.reload();
      await ada.getByLabel('API key').waitFor();
      assert.deepEqual(problems, []);
    } finally {
      await browser.close();
    }
  });
});
