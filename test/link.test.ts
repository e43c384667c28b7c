import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { makeDevice, makeStep, traceOf } from './support/fleet.ts';
import { onEveryDatabase, request, type TestServer } from './support/server.ts';

onEveryDatabase('links', (start) => {
  let server: TestServer;
  let now = Date.now();
  before(async () => {
    server = await start({ now: () => now });
    await makeDevice(server, { name: 'one' });
    await makeStep(server, 'toast', 'show_toast', { message: '{{ payload.message }}' });
  });

  const makeLink = async (extra: object = {}) => {
    const { status, body } = await server.api('/links', {
      body: { event_id: 'toast', payload: { message: 'hello' }, ...extra },
    });
    assert.equal(status, 201, JSON.stringify(body));
    return body as { id: string; token: string; url: string };
  };
  const open = (url: string, accept = 'text/html') => request(url, { key: null, headers: { accept } });
  const press = (url: string, headers: Record<string, string> = {}) =>
    request(url, { key: null, method: 'POST', headers });

  test('opening shows what would happen and fires nothing; the button fires', async () => {
    const link = await makeLink();
    assert.equal(link.url, `${server.url}/l/${link.token}`);
    const page = await open(link.url);
    assert.equal(page.status, 200);
    assert.match(page.body, /Show toast: 1 device, 0 online now/);
    assert.match(page.body, /<form method="post">/);
    await request(link.url, { key: null, method: 'HEAD' });
    assert.equal((await server.api(`/links/${link.id}`)).body.uses, 0);
    const fired = await press(link.url);
    assert.equal(fired.status, 200);
    const trace = await traceOf(server, fired.body.trigger_id);
    assert.equal(trace.commands[0].params.message, 'hello');
    assert.deepEqual([trace.source, trace.link_id, trace.key_id], ['link', link.id, null]);
    assert.equal((await server.api(`/links/${link.id}`)).body.uses, 1);
    assert.match((await press(link.url, { accept: 'text/html' })).body, /Sent/);
  });

  test('a link is good for its number of uses, also when they come at once', async () => {
    const link = await makeLink({ max_uses: 3 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => press(link.url)));
    assert.equal(answers.filter((answer) => answer.status === 200).length, 3);
    assert.ok(answers.every((answer) => answer.status === 200 || answer.body.error.code === 'link_ended'));
    assert.equal((await open(link.url)).status, 410);
  });

  test('a link ends by the clock', async () => {
    const link = await makeLink({ expires_at: new Date(now + 60_000).toISOString() });
    assert.equal((await press(link.url)).status, 200);
    now += 61_000;
    const late = await press(link.url);
    assert.deepEqual([late.status, late.body.error.code], [410, 'link_ended']);
  });

  test('an unknown, mistyped or deleted link is not there', async () => {
    const link = await makeLink();
    const mistyped = `${link.url.slice(0, -1)}${link.url.endsWith('0') ? '1' : '0'}`;
    assert.equal((await server.api(`/links/${link.id}`, { method: 'DELETE' })).status, 204);
    for (const url of [link.url, mistyped, `${server.url}/l/nonsense`]) {
      for (const answer of [await open(url, 'application/json'), await press(url)]) {
        assert.deepEqual([answer.status, answer.body.error.code], [404, 'unknown_link'], url);
      }
    }
  });

  test('the same Idempotency-Key uses a link once, and hears the first answer again', async () => {
    const link = await makeLink({ max_uses: 1 });
    const headers = { 'idempotency-key': 'twice' };
    const [first, again] = [await press(link.url, headers), await press(link.url, headers)];
    assert.deepEqual([first.status, again.status], [200, 200]);
    assert.equal(again.body.trigger_id, first.body.trigger_id);
    assert.equal((await press(link.url, { 'idempotency-key': 'other' })).status, 410);
  });
});
