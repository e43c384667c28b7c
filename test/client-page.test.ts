/** The device library as the server hands it out to pages. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { noBrowser, openPage } from './support/browser.ts';
import { makeDevice } from './support/fleet.ts';
import { asGuest, bodyOf, codeOf, oneServer } from './support/management.ts';
import { startServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

suite('I28: the module for pages', () => {
  const server = oneServer(startServer);
  const get = (path: string, headers: Record<string, string> = {}) => asGuest(server(), path, { headers });

  test('is there for any origin, and is asked for anew', async () => {
    const answer = await get('/client/fleethook.js');
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type') ?? '', /^text\/javascript/);
    assert.equal(answer.headers.get('access-control-allow-origin'), '*');
    assert.equal(answer.headers.get('cross-origin-resource-policy'), 'cross-origin');
    assert.equal(answer.headers.get('cache-control'), 'no-cache');
    const etag = answer.headers.get('etag') ?? '';
    const again = await get('/client/fleethook.js', { 'if-none-match': etag });
    assert.deepEqual([again.status, again.body.length], [304, 0]);
    assert.equal((await get('/client/fleethook.js', { 'if-none-match': '"another"' })).status, 200);
    assert.ok(answer.body.includes('Permission is hereby granted'), 'the licenses of what is inside');
    assert.ok(!/from"[^."]|node:/.test(answer.body), 'it needs nothing else');
  });

  test('is kept for ever under its version, and another version is none', async () => {
    const first = await get('/client/fleethook.js');
    const path = new URL(first.headers.get('content-location') ?? '', `${server().url}/client/fleethook.js`)
      .pathname;
    assert.match(path, /^\/client\/0\.1\.0-[0-9a-f]{8}\/fleethook\.js$/);
    const kept = await get(path);
    assert.equal(kept.status, 200);
    assert.ok(kept.body === first.body);
    assert.match(kept.headers.get('cache-control') ?? '', /max-age=31536000, immutable/);
    assert.equal(kept.headers.get('access-control-allow-origin'), '*');
    for (const other of ['/client/0.0.1/fleethook.js', '/client/made-of.json', '/client/', '/client/..%2fx'])
      assert.deepEqual(codeOf(await get(other)), [404, 'not_found'], other);
  });

  test('makes a device of a page of another origin', { skip: noBrowser }, async () => {
    const { id, token } = await makeDevice(server(), { name: 'screen' });
    const issue = async (fn: string, params: object): Promise<string> => {
      const body = { function: fn, params, target: { devices: [id] } };
      return bodyOf(await server().api('/commands', { body }), 201).id;
    };
    await using browser = await openPage(`<!doctype html>
      <title>Screen</title>
      <h1>nothing</h1>
      <p></p>
      <script type="module">
        import { connectDevice, webStorage } from '${server().url}/client/fleethook.js';
        const [shown, said] = [document.querySelector('h1'), document.querySelector('p')];
        const device = connectDevice({
          url: '${server().url}',
          token: '${token}',
          storage: webStorage(localStorage, 'fleethook:screen'),
          onState: ({ emergency }) => { shown.textContent = emergency?.message ?? 'nothing'; },
          onCommand: ({ params }) => { said.textContent = params.message; },
        });
        device.event('opened', { title: document.title }).then(({ id }) => { document.title = id; });
      </script>`);
    const { page, problems } = browser;
    const isApplied = async (of: string) =>
      waitFor(async () => bodyOf(await server().api(`/commands/${of}`), 200).coverage.applied === 1, {
        what: () => `the receipt; the page said: ${problems.join('; ')}`,
      });

    await isApplied(await issue('enable_emergency', { message: 'Leave the building' }));
    assert.equal(await page.textContent('h1'), 'Leave the building');
    await isApplied(await issue('show_toast', { message: 'hello' }));
    assert.equal(await page.textContent('p'), 'hello');
    await waitFor(async () => (await page.title()) !== 'Screen', { what: 'the event to be stored' });
    const event = bodyOf(await server().api(`/events/${await page.title()}`), 200);
    assert.equal(event.type, 'opened');
    assert.equal(event.device_id ?? event.device?.id, id);

    assert.deepEqual(problems, []);
  });
});
