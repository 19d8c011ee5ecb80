import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { message, startTestServer, type TestServer, type Wire } from '../support/server.ts';

const ROOT = path.resolve(import.meta.dirname, '../../../..');
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');
const OURS = /\b(?:cloister|process|nodejs)_[a-z0-9_]+/g;
const METRICS_TOKEN = 'only-for-prometheus-71f3';
const namesIn = (text: string) => [...text.matchAll(OURS)].map(([name]) => name);

describe('the metrics', { timeout: 60_000 }, () => {
  let server: TestServer;
  let text: string;
  /** Of each metric, and of the series that a histogram has. */
  let series: ReadonlySet<string>;
  const own = () => [...text.matchAll(/^# TYPE (cloister_\w+) /gm)].map(([, name = '']) => name).sort();
  const value = (line: string) =>
    Number(
      text
        .split('\n')
        .find((one) => one.startsWith(`${line} `))
        ?.split(' ')
        .at(-1) ?? Number.NaN,
    );

  before(async () => {
    // Nobody takes the traces; their count is among the metrics all the same.
    server = await startTestServer({ env: { WARM_POOL_MAX: '1', METRICS_TOKEN, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' } });
    const session = await server.createSession();
    const { body } = await server.json('POST', `/v1/sessions/${session}/events?wait=30`, { body: { events: [message('hello')] } });
    assert.equal(body.turn.outcome, 'completed');
    await server.request('PROPFIND', `/v1/sessions/${session}`);
    text = await (await server.request('GET', '/metrics')).text();
    series = new Set(
      [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].flatMap(([, name = '', type]) =>
        type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name],
      ),
    );
  });
  after(() => server?.[Symbol.asyncDispose]());

  it('are read with a token of their own, which opens nothing else', async () => {
    const headers = { authorization: `Bearer ${METRICS_TOKEN}` };
    const status = async (route: string, token = headers) => (await fetch(`${server.url}${route}`, { headers: token })).status;
    assert.equal(await status('/metrics'), 200);
    assert.equal(await status('/metrics', { authorization: `Bearer ${METRICS_TOKEN}x` }), 401);
    for (const route of ['/v1/agents', '/v1/status', '/openapi.json', '/v1/audit']) assert.equal(await status(route), 401, route);
  });

  it('that the Grafana dashboard shows are all there', () => {
    const dashboard: Wire = JSON.parse(read('deploy/grafana/cloister.json'));
    const expressions: string[] = dashboard.panels.flatMap(({ targets = [] }: Wire) => targets.map(({ expr }: Wire) => expr));
    const shown = new Set(expressions.flatMap(namesIn));
    assert.ok(shown.size > 25, `${shown.size} are shown`);
    assert.deepEqual(
      [...shown].filter((name) => !series.has(name)),
      [],
    );
    assert.equal(new Set(dashboard.panels.map(({ id }: Wire) => id)).size, dashboard.panels.length);
    for (const expression of expressions) assert.equal(expression.split('(').length, expression.split(')').length, expression);
  });

  it('that the alerts look at are all there, and each alert says what to do', () => {
    const { groups }: Wire = parse(read('deploy/prometheus/alerts.yml'));
    const rules: readonly Wire[] = groups[0].rules;
    for (const { alert, expr, labels, annotations } of rules) {
      const names = namesIn(expr);
      assert.ok(names.length > 0 || expr.startsWith('up{'), alert);
      assert.deepEqual(
        names.filter((name) => !series.has(name)),
        [],
        alert,
      );
      assert.ok(['info', 'warning', 'critical'].includes(labels.severity), alert);
      assert.ok(annotations.summary.length > 10 && annotations.fix.length > 10, alert);
    }
    assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
  });

  it('are those that docs/monitoring.md tells of, all of them', () => {
    const told = [...read('docs/monitoring.md').matchAll(/^\| `(cloister_\w+?)(?:\{[\w,]+\})?` \|/gm)].map(([, name = '']) => name).sort();
    assert.deepEqual(told, own());
  });

  it('tell of the turn, and have no id and no word of a client as a label', () => {
    assert.equal(value('cloister_turns_ended_total{outcome="completed",code="none"}'), 1);
    assert.ok(value('cloister_leases_total{event="taken"}') >= 1);
    assert.equal(value('cloister_queue_oldest_seconds'), 0);
    assert.equal(value('cloister_approvals_open'), 0);
    assert.equal(value('cloister_health{check="store"}'), 0);
    const counted = value('cloister_http_request_duration_seconds_count{method="POST",route="/v1/sessions/:id/events",status="2xx"}');
    assert.equal(counted, 1);
    assert.match(text, /^cloister_build_info\{version="[^"]+",node="v24[^"]+",runtime="fake",store="sqlite"\} 1$/m);
    assert.doesNotMatch(text, /(ses|trn|agt|env|tnt|evt)_[0-9a-f]{32}/);
    assert.doesNotMatch(text, /PROPFIND/);
  });
});
