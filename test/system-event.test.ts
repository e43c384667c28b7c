import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fire, makeDevice, makeStep } from './support/fleet.ts';
import { bodyOf } from './support/management.ts';
import { onEveryDatabase, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';
import { type Received, reachReceivers, startReceiver } from './support/webhook-receiver.ts';

async function ask(server: TestServer, url: string, filter: object): Promise<void> {
  bodyOf(await server.api('/webhooks', { body: { name: crypto.randomUUID(), url, filter } }), 201);
}

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
