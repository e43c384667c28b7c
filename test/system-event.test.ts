import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RootOperationNode } from 'kysely';
import { fire, makeDevice, makeStep } from './support/fleet.ts';
import { bodyOf } from './support/management.ts';
import { onEveryDatabase, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { type Received, reachReceivers, startReceiver } from './support/webhook-receiver.ts';

async function ask(server: TestServer, url: string, filter: object): Promise<void> {
  bodyOf(await server.api('/webhooks', { body: { name: crypto.randomUUID(), url, filter } }), 201);
}

/** Takes every look at a command from now on to `onLook` first; the answer takes that back. */
function watchLooks(
  server: TestServer,
  onLook: (isAbout: (commandId: string) => boolean) => void,
): () => void {
  const { db } = server.ctx;
  const transformQuery = ({ node }: { node: RootOperationNode }) => {
    const text = JSON.stringify(node);
    if (node.kind === 'SelectQueryNode' && JSON.stringify(node.from).includes('"commands"'))
      onLook((id) => text.includes(id));
    return node;
  };
  server.ctx.db = db.withPlugin({ transformQuery, transformResult: async ({ result }) => result });
  return () => {
    server.ctx.db = db;
  };
}

async function showPage(server: TestServer, page: string): Promise<string> {
  const body = {
    function: 'load_url',
    params: { url: `https://example.com/${page}` },
    target: { all: true },
  };
  return bodyOf(await server.api('/commands', { body }), 201).id;
}

const covered = ['command.covered', 'command.missed'];

const typesOf = (received: readonly Received[]) =>
  received.map((request) => request.json.eventType as string);

onEveryDatabase('events of the server', (start) => {
  let ahead = 0;
  const now = () => Date.now() + ahead;
  const setUp = () => start({ env: { ...reachReceivers }, now });

  test('a device that comes and goes is told', async () => {
    await using server = await setUp();
    await using receiver = await startReceiver();
    await ask(server, receiver.url, { kinds: ['system'] });
    const made = await makeDevice(server, { name: 'gate' });
    const device = await server.device(made.token);
    await receiver.got(1);
    device.disconnect();
    await receiver.got(2);
    assert.deepEqual(typesOf(receiver.received), ['device.online', 'device.offline']);
    const [online] = receiver.received;
    assert.equal(online?.json.originDeviceId, made.id);
    assert.deepEqual(online?.json.eventData.device, { id: made.id, name: 'gate' });
  });

  test('a trigger is told, and when every device has done it', async () => {
    await using server = await setUp();
    await using receiver = await startReceiver();
    await ask(server, receiver.url, { event_types: ['trigger.fired', 'command.covered', 'command.missed'] });
    const devices = [];
    for (const name of ['one', 'two'])
      devices.push(await server.device((await makeDevice(server, { name })).token));
    await makeStep(server, 'toast', 'show_toast', { message: 'hi' });
    const fired = await fire(server, 'toast');
    await receiver.got(1);
    assert.deepEqual(typesOf(receiver.received), ['trigger.fired']);
    assert.equal(receiver.received[0]?.json.eventData.trigger_id, fired.trigger_id);
    for (const device of devices) {
      await waitFor(() => device.commands.length > 0, { what: 'the command' });
      await device.applyAll();
    }
    await receiver.got(2);
    const covered = receiver.received[1]?.json;
    assert.equal(covered.eventType, 'command.covered');
    assert.deepEqual(
      [covered.eventData.command_id, covered.eventData.targeted, covered.eventData.applied],
      [fired.commands[0].id, 2, 2],
    );
  });

  test('a command that ends before every device has done it is told with who missed it', async () => {
    await using server = await setUp();
    await using receiver = await startReceiver();
    await ask(server, receiver.url, { event_types: ['command.covered', 'command.missed'] });
    const there = await server.device((await makeDevice(server, { name: 'there' })).token);
    const away = await makeDevice(server, { name: 'away' });
    await makeStep(server, 'toast', 'show_toast', { message: 'hi' });
    await fire(server, 'toast');
    await waitFor(() => there.commands.length > 0, { what: 'the command' });
    await there.applyAll();
    ahead += 301_000;
    await receiver.got(1);
    const missed = receiver.received[0]?.json;
    assert.equal(missed.eventType, 'command.missed');
    assert.equal(missed.eventData.applied, 1);
    assert.deepEqual(missed.eventData.missing_devices, [{ id: away.id, name: 'away', status: 'expired' }]);
  });

  test('a state that was replaced is told as missed, once, and looked at no more', async () => {
    await using server = await setUp();
    await using receiver = await startReceiver();
    await ask(server, receiver.url, { event_types: covered });
    const made = await makeDevice(server, { name: 'away' });
    let looks = 0;
    watchLooks(server, () => (looks += 1));
    const replaced = [await showPage(server, '0')];
    await waitFor(() => looks > 0, { what: 'the first look' });
    for (let page = 1; page < 50; page += 1) replaced.push(await showPage(server, `${page}`));
    const last = replaced.pop();
    await receiver.got(49);
    const missed = receiver.received.map((request) => request.json);
    assert.deepEqual(new Set(missed.map((event) => event.eventType)), new Set(['command.missed']));
    assert.deepEqual(missed.map((event) => event.eventData.command_id).sort(), replaced);
    assert.deepEqual(missed[0].eventData.missing_devices, [{ id: made.id, name: 'away', status: 'expired' }]);

    const device = await server.device(made.token);
    looks = 0;
    await device.receipt([...replaced, last].map((id) => ({ id, status: 'applied' })));
    await receiver.got(50);
    const { eventType, eventData } = receiver.received[49]?.json ?? {};
    assert.deepEqual([eventType, eventData.command_id], ['command.covered', last]);
    assert.ok(looks <= 2, `one command was in force, and ${looks} were looked at`);
  });

  test('a state that was canceled is not told, and looked at no more', async () => {
    await using server = await setUp();
    await using receiver = await startReceiver();
    await ask(server, receiver.url, { event_types: covered });
    const made = await makeDevice(server, { name: 'away' });
    let looks = 0;
    watchLooks(server, () => (looks += 1));
    const canceled = await showPage(server, 'canceled');
    await waitFor(() => looks > 0, { what: 'the first look' });
    bodyOf(await server.api(`/commands/${canceled}/cancel`, { method: 'POST' }), 200);
    const replaced = await showPage(server, 'replaced');
    const last = await showPage(server, 'last');
    await receiver.got(1);
    const device = await server.device(made.token);
    let looksAtCanceled = 0;
    watchLooks(server, (isAbout) => (looksAtCanceled += isAbout(canceled) ? 1 : 0));
    await device.receipt([canceled, last].map((id) => ({ id, status: 'applied' })));
    await receiver.got(2);
    assert.deepEqual(
      receiver.received.map(({ json }) => [json.eventType, json.eventData.command_id]),
      [
        ['command.missed', replaced],
        ['command.covered', last],
      ],
    );
    assert.equal(looksAtCanceled, 0);
  });

  test('a look that failed is made again, and holds up no other', async () => {
    await using server = await setUp();
    await using receiver = await startReceiver();
    await ask(server, receiver.url, { event_types: covered });
    const device = await server.device((await makeDevice(server, { name: 'screen' })).token);
    await makeStep(server, 'toast', 'show_toast', { message: 'hi' });
    const [first, second] = [await fire(server, 'toast'), await fire(server, 'toast')].map(
      (fired) => fired.commands[0].id,
    );
    await waitFor(() => device.commands.length === 2, { what: 'the commands' });
    let failures = 0;
    const mend = watchLooks(server, (isAbout) => {
      if (!isAbout(first)) return;
      failures += 1;
      throw new Error('on purpose');
    });
    await device.applyAll();
    await receiver.got(1);
    await waitFor(() => failures > 0, { what: 'a look that fails' });
    mend();
    await receiver.got(2);
    assert.deepEqual(
      receiver.received.map(({ json }) => [json.eventType, json.eventData.command_id]),
      [
        ['command.covered', second],
        ['command.covered', first],
      ],
    );
  });

  test('a command is still watched after a restart', async () => {
    await using receiver = await startReceiver();
    const server = await setUp();
    await ask(server, receiver.url, { event_types: ['command.covered'] });
    const made = await makeDevice(server, { name: 'screen' });
    await makeStep(server, 'toast', 'show_toast', { message: 'hi' });
    await fire(server, 'toast');
    await server.close();
    await using next = await start({ env: server.env, dataDir: server.dataDir, now });
    const device = await next.device(made.token);
    await waitFor(() => device.commands.length > 0, { what: 'the command' });
    await device.applyAll();
    await receiver.got(1);
    assert.equal(receiver.received[0]?.json.eventType, 'command.covered');
  });

  test('nothing is written down when nobody asks', async () => {
    await using server = await setUp();
    await using receiver = await startReceiver();
    await ask(server, receiver.url, {});
    const device = await server.device((await makeDevice(server, { name: 'gate' })).token);
    await device.socket.timeout(5_000).emitWithAck('event', { eventType: 'said' });
    await receiver.got(1);
    assert.deepEqual(typesOf(receiver.received), ['said']);
    assert.deepEqual(
      bodyOf(await server.api('/events'), 200).items.map((item: { kind: string }) => item.kind),
      ['event'],
    );
  });
});
