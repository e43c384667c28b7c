import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { systemCaller } from '../src/domain/access/caller.ts';
import { listDeliveries } from '../src/domain/delivery/delivery.ts';
import { listEvents } from '../src/domain/event/history.ts';

import { changeWebhook, createWebhook } from '../src/domain/webhook/webhook.ts';
import { makeGroup } from './support/fleet.ts';
import { makeKey, makeTenant, oneServer } from './support/management.ts';
import { adminKey, type Call, onEveryDatabase, request, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const caller = systemCaller(1, 'test');
const secret = '6idnnaidkdkdr5zq1838jGV';
const commandSecret = 'another-secret-for-commands';
const arming = { action: 'set-alarm-state', parameters: { rooms: ['living-room'], armed: true } };

/** A module of MODE's kind, with a URL for events and one for commands. */
function makeModule(server: TestServer, url: string, module_id: string, extra: object = {}) {
  return createWebhook(server.ctx, caller, {
    module_id,
    name: module_id,
    url: `${url}/evt`,
    signature: 'mode',
    secret,
    command_url: `${url}/cmd?x=%20y`,
    command_secret: commandSecret,
    ...extra,
  });
}

function command(
  server: TestServer,
  home: string | number,
  module: string,
  { as, ...call }: Call & { as?: string } = {},
) {
  return request(`${server.url}/homes/${home}/smartModules/${module}/command`, {
    key: null,
    method: 'PUT',
    ...call,
    headers: { authorization: as ?? `ModeCloud ${adminKey}`, ...call.headers },
  });
}

/** As the receiver of the seed does it: over the URL it knows, not over the one of the request. */
const signatureOf = (key: string, url: string, body: Buffer) =>
  createHmac('sha256', key).update(url).update(body).digest('hex');

onEveryDatabase('command webhooks of MODE', (start) => {
  const server = oneServer((options) => start({ ...options, env: { ...reachReceivers } }));
  const commands = async () => (await listEvents(server().ctx, caller, { kind: 'command' })).items.length;

  test('a command reaches the command webhook, signed for its URL', async () => {
    await using receiver = await startReceiver();
    const home = await makeGroup(server(), 'a home');
    await makeModule(server(), receiver.url, 'alarms');
    const key = await makeKey(server(), { name: 'alarm app', scopes: ['command'] });
    for (const scheme of ['ModeCloud', 'Bearer']) {
      const before = receiver.received.length;
      const answer = await command(server(), home, 'alarms', { as: `${scheme} ${key.key}`, body: arming });
      assert.deepEqual([answer.status, answer.body], [204, '']);
      const got = (await receiver.got(before + 1)).at(-1);
      assert.ok(got);
      assert.equal(got.url, '/cmd?x=%20y');
      assert.equal(got.headers['content-type'], 'application/json');
      const { timestamp, ...told } = got.json;
      assert.deepEqual(told, {
        ...arming,
        homeId: home,
        originProjectKeyID: key.id,
        originProjectKeyName: 'alarm app',
      });
      assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.equal(
        got.headers['x-mode-signature'],
        signatureOf(commandSecret, `${receiver.url}/cmd?x=%20y`, got.bytes),
      );
    }
    assert.equal(receiver.received.length, 2, 'and the URL for events hears nothing of it');
  });

  test('without a secret of its own it is signed with the one of the webhook', async () => {
    await using receiver = await startReceiver();
    const home = await makeGroup(server(), 'second home');
    await makeModule(server(), receiver.url, 'one-secret', { command_secret: undefined });
    assert.equal((await command(server(), home, 'one-secret', { body: { action: 'ring' } })).status, 204);
    const [got] = await receiver.got(1);
    assert.ok(got);
    assert.deepEqual(got.json.parameters, {}, 'parameters are always there');
    assert.equal(
      got.headers['x-mode-signature'],
      signatureOf(secret, `${receiver.url}/cmd?x=%20y`, got.bytes),
    );
  });

  test('numbers arrive as they were written', async () => {
    await using receiver = await startReceiver();
    const home = await makeGroup(server(), 'third home');
    await makeModule(server(), receiver.url, 'numbers');
    const parameters = '{"id":12345678901234567890,"pi":3.14159265358979323846264338327950288,"far":1e400}';
    const raw = `{"action":"count","parameters":${parameters}}`;
    assert.equal((await command(server(), home, 'numbers', { raw })).status, 204);
    const [got] = await receiver.got(1);
    assert.ok(got?.text.includes(`"parameters":${parameters}`), got?.text);
  });

  test('what is not allowed, not sound or not there is refused in the form of MODE', async () => {
    await using receiver = await startReceiver();
    const home = await makeGroup(server(), 'fourth home');
    await makeModule(server(), receiver.url, 'strict');
    await makeModule(server(), receiver.url, 'events-only', { command_url: undefined });
    await makeModule(server(), receiver.url, 'switched-off', { enabled: false });
    const reader = await makeKey(server(), { scopes: ['read', 'publish', 'trigger'] });
    const tenant = await makeTenant(server(), 'other project', ['manage']);
    const theirHome = (await tenant.make('/groups', { name: 'their home' })).id;
    const deep = `{"action":"a","parameters":{"v":${'['.repeat(63)}${']'.repeat(63)}}}`;
    const bad: [string, number | string, string, Parameters<typeof command>[3], number, string][] = [
      ['no key', home, 'strict', { as: '', body: arming }, 401, 'BAD_KEY'],
      ['a wrong key', home, 'strict', { as: 'ModeCloud fhk_x', body: arming }, 401, 'BAD_KEY'],
      ['another scheme', home, 'strict', { as: `Basic ${adminKey}`, body: arming }, 401, 'BAD_KEY'],
      ['no scope', home, 'strict', { as: `ModeCloud ${reader.key}`, body: arming }, 403, 'NOT_ALLOWED'],
      ['their home', theirHome, 'strict', { body: arming }, 404, 'NOT_FOUND'],
      ['our home', home, 'strict', { as: `Bearer ${tenant.key}`, body: arming }, 404, 'NOT_FOUND'],
      ['our module', theirHome, 'strict', { as: `Bearer ${tenant.key}`, body: arming }, 404, 'NOT_FOUND'],
      ['no home', 999_999_999, 'strict', { body: arming }, 404, 'NOT_FOUND'],
      ['a home that is no number', `0x${home.toString(16)}`, 'strict', { body: arming }, 404, 'NOT_FOUND'],
      ['no module', home, 'nothing', { body: arming }, 404, 'NOT_FOUND'],
      ['no command_url', home, 'events-only', { body: arming }, 404, 'NOT_FOUND'],
      ['switched off', home, 'switched-off', { body: arming }, 409, 'CONFLICT'],
      ['no body', home, 'strict', {}, 403, 'BAD_REQUEST'],
      ['no JSON', home, 'strict', { raw: '{"action":' }, 403, 'BAD_REQUEST'],
      ['no UTF-8', home, 'strict', { raw: Buffer.from([0x22, 0xc3, 0x28, 0x22]) }, 403, 'BAD_REQUEST'],
      ['too deep', home, 'strict', { raw: deep }, 403, 'BAD_REQUEST'],
      ['no action', home, 'strict', { body: { parameters: {} } }, 403, 'BAD_REQUEST'],
      ['a list', home, 'strict', { body: [arming] }, 403, 'BAD_REQUEST'],
      ['a list as parameters', home, 'strict', { body: { ...arming, parameters: [] } }, 403, 'BAD_REQUEST'],
      [
        'a number as parameters',
        home,
        'strict',
        { raw: '{"action":"a","parameters":12345678901234567890}' },
        403,
        'BAD_REQUEST',
      ],
      ['too large', home, 'strict', { body: { action: 'x'.repeat(300_000) } }, 413, 'TOO_LARGE'],
    ];
    const before = await commands();
    for (const [what, homeId, module, call, status, reason] of bad) {
      const answer = await command(server(), homeId, module, call);
      assert.deepEqual([answer.status, answer.body.reason], [status, reason], what);
      assert.deepEqual(Object.keys(answer.body), ['reason', 'data'], what);
      assert.equal(typeof answer.body.data.detail, 'string', what);
      assert.equal(answer.headers.get('www-authenticate'), status === 401 ? 'Bearer' : null, what);
    }
    assert.equal(await commands(), before);
    assert.equal((await command(server(), home, 'strict', { body: arming })).status, 204);
    await receiver.got(1);
    assert.equal(receiver.received.length, 1);
  });

  test('a module that comes, goes and is switched counts from then on', async () => {
    await using receiver = await startReceiver();
    const home = await makeGroup(server(), 'fifth home');
    const send = async () => (await command(server(), home, 'moody', { body: arming })).status;
    assert.equal(await send(), 404);
    const { id } = await makeModule(server(), receiver.url, 'moody', { command_url: undefined });
    assert.equal(await send(), 404);
    await changeWebhook(server().ctx, caller, id, { command_url: `${receiver.url}/cmd` });
    assert.equal(await send(), 204);
    await changeWebhook(server().ctx, caller, id, { enabled: false });
    assert.equal(await send(), 409);
    await receiver.got(1);
  });
});

onEveryDatabase('command webhooks of MODE, when the receiver fails', (start) => {
  test('the command arrives later, under the same id and signed anew', async () => {
    let ahead = 0;
    await using server = await start({ env: reachReceivers, now: () => Date.now() + ahead });
    await using receiver = await startReceiver(503);
    const home = await makeGroup(server, 'a home');
    const { id } = await makeModule(server, receiver.url, 'patient');
    assert.equal((await command(server, home, 'patient', { body: arming })).status, 204);
    await receiver.got(1);
    const becomes = (status: string, attempts: number) =>
      waitFor(
        async () => {
          const [delivery] = (await listDeliveries(server.ctx, caller, {}, id)).items;
          return delivery?.status === status && delivery.attempts === attempts;
        },
        { what: `a delivery that is ${status}` },
      );
    await becomes('pending', 1);
    receiver.behave(200);
    // The schedule begins with 5 s, more or less.
    ahead += 6_000;
    await receiver.got(2);
    await becomes('delivered', 2);
    const [first, second] = receiver.received;
    assert.ok(first && second);
    assert.equal(first.headers['webhook-id'], second.headers['webhook-id']);
    assert.equal(second.text, first.text);
    assert.equal(
      second.headers['x-mode-signature'],
      signatureOf(commandSecret, `${receiver.url}/cmd?x=%20y`, second.bytes),
    );
  });
});
