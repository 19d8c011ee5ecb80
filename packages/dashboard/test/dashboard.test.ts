import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';
import { KEY, type Say, type ScriptedServer, startScriptedServer } from '../../../test/support/scripted-server.ts';
import { buildDashboard } from '../build.ts';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];
const text = (value: string) => [{ type: 'text', text: value }];

/** The scripted agent: what it does is in the message. */
function answer(event: Record<string, unknown>, say: Say): void {
  const content = Array.isArray(event.content) ? String(event.content[0]?.text) : '';
  if (event.type === 'user.message') say({ type: 'session.status_running' });
  if (content === 'stream') {
    say({ type: 'event_start', event: { type: 'agent.message', id: 'msg_stream' } });
    for (const piece of ['One ', '**two** ', 'thr'])
      say({
        type: 'event_delta',
        event_id: 'msg_stream',
        delta: { type: 'content_delta', index: 0, content: { type: 'text', text: piece } },
      });
  }
  if (content === 'ask') {
    say({ type: 'agent.tool_use', id: 'tool_ask', name: 'bash', input: { command: 'rm -r build' }, evaluated_permission: 'ask' });
    say({ type: 'session.status_idle', stop_reason: { type: 'requires_action', event_ids: ['tool_ask'] } });
  }
  if (event.type === 'user.tool_confirmation') {
    say({ type: 'session.status_running' });
    say({ type: 'agent.tool_result', tool_use_id: event.tool_use_id, content: text('removed 12 files'), is_error: false });
    finish(say);
  }
  if (event.type === 'user.interrupt') {
    say({ type: 'session.status_idle', stop_reason: { type: 'end_turn' } });
    say({ type: 'turn.ended', outcome: 'cancelled', error: null });
  }
  if (content === 'fail') {
    const error = { type: 'model_overloaded_error', code: 'model_overloaded', message: 'The model is busy.', fix: 'Try later.' };
    say({ type: 'session.error', error });
    say({ type: 'session.status_idle', stop_reason: { type: 'retries_exhausted' } });
    say({ type: 'turn.ended', outcome: 'failed', error });
  }
  if (content === 'markup') {
    say({
      type: 'agent.message',
      content: text(
        '<img src=x onerror="window.broken=1"> [x](javascript:window.broken=1) `a<b>`\n\n```html\n<script>window.broken=1</script>\n```',
      ),
    });
    finish(say);
  }
}

function finish(say: Say): void {
  say({ type: 'session.status_idle', stop_reason: { type: 'end_turn' } });
  say({ type: 'turn.ended', outcome: 'completed', stop_reason: 'end_turn', error: null });
}

describe('dashboard in Chromium', { skip: existsSync(CHROMIUM) ? false : 'needs chromium' }, () => {
  let browser: Browser;
  let server: ScriptedServer;
  let page: Page;
  const complaints: string[] = [];

  before(async () => {
    await buildDashboard();
    server = await startScriptedServer(answer);
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    page = await browser.newPage();
    page.setDefaultTimeout(10_000);
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) complaints.push(message.text());
    });
  });

  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const send = async (message: string) => {
    await page.getByLabel('Message').fill(message);
    await page.getByRole('button', { name: 'Send' }).click();
  };

  it('refuses a wrong key in plain words and takes the right one', async () => {
    await page.goto(`${server.url}/dashboard`);
    await page.getByLabel('API key').fill('clst_wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The key is not valid.').waitFor();
    await page.getByText('Use a key that exists.').waitFor();
    await page.getByLabel('API key').fill(KEY);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Start your first session').waitFor();
    await page.getByText('Demo model.').waitFor();
    const status = page.getByLabel('Status', { exact: true });
    assert.equal(await status.getByText('docker').count(), 1);
    assert.equal(await status.getByText('container', { exact: true }).count(), 1);
    await status.getByText('Walls and timings').click();
    for (const told of ['the first choice', 'gateway only', 'crun, runc', '180 ms']) await status.getByText(told).waitFor();
  });

  it('makes a session', async () => {
    await page.getByRole('button', { name: 'New session' }).first().click();
    await page.getByLabel('Title').fill('First');
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByRole('heading', { name: 'First' }).waitFor();
    await page.getByRole('button', { name: /First/ }).waitFor();
    assert.match(page.url(), /#\/sessions\/ses_/);
  });

  it('shows text while it is produced and the whole at the end', async () => {
    await send('stream');
    await page.locator('.message.agent.streaming', { hasText: 'One two thr' }).waitFor();
    assert.equal(await page.locator('.message.agent strong').textContent(), 'two');
    await page.getByRole('button', { name: 'Stop' }).waitFor();
  });

  it('stops a turn', async () => {
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Stopped.').waitFor();
    await page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'hidden' });
    assert.deepEqual(server.received.at(-1), { type: 'user.interrupt' });
  });

  it('asks for permission, then shows the result behind the call', async () => {
    await send('ask');
    await page.getByText('waits for you').waitFor();
    await page.getByRole('button', { name: 'Allow', exact: true }).click();
    await page.locator('.tool summary', { hasText: 'done' }).click();
    await page.getByText('removed 12 files').waitFor();
    assert.deepEqual(server.received.at(-1), { type: 'user.tool_confirmation', tool_use_id: 'tool_ask', result: 'allow' });
  });

  it('tells why a turn failed and what to do', async () => {
    await send('fail');
    await page.getByText('The model is busy.').waitFor();
    await page.getByText('Try later.').waitFor();
    assert.equal(await page.locator('.notice.bad').count(), 1);
  });

  it('never turns what an agent writes into markup', async () => {
    await send('markup');
    await page.locator('.message.agent', { hasText: '<img src=x' }).waitFor();
    assert.equal(await page.locator('.transcript img, .transcript script, .transcript a').count(), 0);
    assert.equal(await page.evaluate('window.broken'), undefined);
  });

  it('goes on after the connection was cut, without a gap or a double', async () => {
    server.cutStreams();
    await send('stream');
    await page.getByText('working', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Stopped.').nth(1).waitFor();
    assert.equal(await page.locator('.message.user').count(), 5);
  });

  it('shows the same conversation after a reload', async () => {
    await page.reload();
    await page.getByText('The model is busy.').waitFor();
    assert.deepEqual(
      await page.locator('.message.user').allTextContents(),
      ['stream', 'ask', 'fail', 'markup', 'stream'].map((one) => `You: ${one}`),
    );
  });

  it('fits a phone', async () => {
    await page.setViewportSize({ width: 375, height: 700 });
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 375);
    await page.getByRole('button', { name: 'Sessions' }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API key').waitFor();
  });

  it('broke no rule of its content security policy', () => {
    assert.deepEqual(complaints, []);
  });
});
