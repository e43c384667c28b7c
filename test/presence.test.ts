import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyOf, codeOf, makeTenant, oneServer, type Tenant } from './support/management.ts';
import { onEveryDatabase } from './support/server.ts';
import { waitFor } from './support/wait.ts';

onEveryDatabase('presence', (start) => {
  const server = oneServer(start);
  let projects = 0;

  async function tenant(): Promise<Tenant> {
    projects += 1;
    return makeTenant(server(), `Project ${projects}`, ['manage']);
  }
  const deviceOf = async ({ api }: Tenant, id: number) => bodyOf(await api(`/devices/${id}`), 200);
  const patch = async ({ api }: Tenant, path: string, body: unknown) =>
    bodyOf(await api(path, { method: 'PATCH', body }), 200);
  const isRefused = (token: unknown) =>
    assert.rejects(server().device(token as string), (error: { data?: { code?: string } }) => {
      return error.data?.code === 'bad_token';
    });

  test('a device is online while it is connected, and seen until then', async () => {
    const of = await tenant();
    const { id, token } = await of.make('/devices', { name: 'screen' });
    const earlier = Date.now();
    const device = await server().device(token);
    const online = await deviceOf(of, id);
    assert.deepEqual([online.online, online.address], [true, '127.0.0.1']);
    assert.ok(Date.parse(online.last_seen_at) >= earlier);
    await waitFor(async () => Date.parse((await deviceOf(of, id)).connected_at) >= earlier, {
      what: 'connected_at',
    });
    const leaving = Date.now();
    device.disconnect();
    await waitFor(async () => !(await deviceOf(of, id)).online, { what: 'the device to be offline' });
    await waitFor(async () => Date.parse((await deviceOf(of, id)).last_seen_at) >= leaving, {
      what: 'last_seen_at',
    });
    assert.equal((await deviceOf(of, id)).address, '127.0.0.1');
    assert.ok((await deviceOf(of, id)).last_seen_at <= new Date().toISOString());
  });

  test('a device with two connections is one device, online until both are gone', async () => {
    const of = await tenant();
    const { id, token } = await of.make('/devices', { name: 'screen' });
    const connections = [await server().device(token), await server().device(token)];
    const body = { function: 'show_toast', params: { message: 'x' }, target: { all: true } };
    const issued = await of.make('/commands', body);
    assert.deepEqual([issued.targeted, issued.online], [1, 1]);
    for (const { commands } of connections) await waitFor(() => commands.length === 1, { what: 'the toast' });
    connections[0]?.disconnect();
    const other = await server().device(token);
    assert.equal((await deviceOf(of, id)).online, true);
    for (const connection of [connections[1], other]) connection?.disconnect();
    await waitFor(async () => !(await deviceOf(of, id)).online, { what: 'the device to be offline' });
  });

  for (const token of ['', 'fhd_nothing', 'x'.repeat(100_000), '__proto__', 'fhk_']) {
    test(`a device with the token "${token.slice(0, 20)}" is refused`, () => isRefused(token));
  }

  test('what is no token is refused, and does no harm', async () => {
    for (const token of [null, 7, {}, ['a'], { toString: 'x' }]) await isRefused(token);
    const { key } = await tenant();
    await isRefused(key);
    assert.deepEqual(
      server().logged.filter((line) => line.includes('"error"')),
      [],
    );
  });

  test('a new token sends the device away and is the only one that is good', async () => {
    const of = await tenant();
    const { items } = await of.make('/devices', [{ name: 'one' }, { name: 'other' }]);
    const [one, other] = [await server().device(items[0].token), await server().device(items[1].token)];
    const path = `/devices/${items[0].id}/rotate-token`;
    const rotated = bodyOf(await of.api(path, { method: 'POST' }), 200);
    assert.deepEqual(Object.keys(rotated).sort(), ['id', 'token']);
    await waitFor(() => !one.socket.connected, { what: 'the device to be sent away' });
    assert.equal((await deviceOf(of, items[0].id)).online, false);
    await isRefused(items[0].token);
    assert.ok((await server().device(rotated.token)).socket.connected);
    assert.ok(other.socket.connected);
  });

  test('a device that is deleted is sent away for good', async () => {
    const of = await tenant();
    const { id, token } = await of.make('/devices', { name: 'one', tags: ['a'] });
    const device = await server().device(token);
    bodyOf(await of.api(`/devices/${id}`, { method: 'DELETE' }), 204);
    await waitFor(() => !device.socket.connected, { what: 'the device to be sent away' });
    await isRefused(token);
    for (const path of [`/devices/${id}`, `/devices/${id}/state`]) {
      assert.deepEqual(codeOf(await of.api(path)), [404, 'not_found']);
    }
    const target = { tags: ['a'] };
    const issued = await of.make('/commands', { function: 'restart_device', params: {}, target });
    assert.deepEqual([issued.targeted, issued.online], [0, 0]);
    const again = await of.make('/devices', { name: 'one' });
    assert.notEqual(again.id, id);
  });

  const toast = { function: 'show_toast', params: { message: 'x' } };
  const page = { function: 'load_url', params: { url: 'https://example.com/' } };

  test('a connected device that is moved is where it is from then on', async () => {
    const of = await tenant();
    const [north, south] = [await of.make('/groups', { name: 'N' }), await of.make('/groups', { name: 'S' })];
    const { id, token } = await of.make('/devices', { name: 'screen', group_id: north.id, tags: ['a'] });
    const device = await server().device(token);
    const toSouth = { ...page, target: { groups: [south.id] } };
    const issued = await of.make('/commands', toSouth);
    assert.deepEqual([issued.targeted, issued.online, device.state.content], [0, 0, null]);
    await patch(of, `/devices/${id}`, { group_id: south.id });
    await waitFor(() => device.state.content?.command_id === issued.id, { what: 'what holds in the south' });
    assert.equal((await of.make('/commands', { ...toast, target: { groups: [north.id] } })).online, 0);
    const heard = await of.make('/commands', { ...toast, target: { groups: [south.id] } });
    await waitFor(() => device.commands.length > 0, { what: 'the toast' });
    assert.deepEqual([heard.online, device.commands.map((command) => command.id)], [1, [heard.id]]);
    await patch(of, `/devices/${id}`, { tags: ['b'] });
    assert.equal((await of.make('/commands', { ...toast, target: { tags: ['a'] } })).online, 0);
    assert.equal((await of.make('/commands', { ...toast, target: { tags: ['b'] } })).online, 1);
    await patch(of, `/devices/${id}`, { group_id: null });
    await waitFor(() => device.state.content === null, { what: 'nothing to hold' });
    assert.ok(device.socket.connected);
  });

  test('a group that is moved takes along the devices that are connected', async () => {
    const of = await tenant();
    const site = await of.make('/groups', { name: 'Site' });
    const hall = await of.make('/groups', { name: 'Hall' });
    const desk = await of.make('/groups', { name: 'Desk', parent_id: hall.id });
    const { token } = await of.make('/devices', { name: 'screen', group_id: desk.id });
    const device = await server().device(token);
    const issued = await of.make('/commands', { ...page, target: { groups: [site.id] } });
    await patch(of, `/groups/${hall.id}`, { parent_id: site.id });
    await waitFor(() => device.state.content?.command_id === issued.id, { what: 'what holds at the site' });
    const heard = await of.make('/commands', { ...toast, target: { groups: [site.id] } });
    await waitFor(() => device.commands.length > 0, { what: 'the toast' });
    assert.deepEqual([heard.targeted, heard.online], [1, 1]);
    await patch(of, `/groups/${hall.id}`, { parent_id: null });
    await waitFor(() => device.state.content === null, { what: 'nothing to hold' });
    const missed = await of.make('/commands', { ...toast, target: { groups: [site.id] } });
    assert.deepEqual([missed.targeted, missed.online, device.commands.length], [0, 0, 1]);
  });

  test('a device that has moved away since keeps its name in what it has done', async () => {
    const of = await tenant();
    const group = await of.make('/groups', { name: 'Hall' });
    const { id, token } = await of.make('/devices', { name: 'screen', group_id: group.id });
    const device = await server().device(token);
    const issued = await of.make('/commands', { ...toast, target: { groups: [group.id] } });
    await waitFor(() => device.commands.length > 0, { what: 'the toast' });
    await device.applyAll();
    await patch(of, `/devices/${id}`, { group_id: null });
    const { devices } = bodyOf(await of.api(`/commands/${issued.id}`), 200);
    assert.partialDeepStrictEqual(devices, [{ id, name: 'screen', status: 'applied' }]);
  });

  test('nonsense from many devices spoils the receipts of nobody else', async () => {
    const [of, others] = [await tenant(), await tenant()];
    const names = Array.from({ length: 60 }, (_, place) => ({ name: `device ${place}` }));
    const { items } = await others.make('/devices', names);
    const wild = await Promise.all(items.map((made: { token: string }) => server().device(made.token)));
    const device = await server().device((await of.make('/devices', { name: 'screen' })).token);
    const { id } = await of.make('/commands', { ...toast, target: { all: true } });
    const nonsense = wild.map((each, place) => {
      const receipts = Array.from({ length: 1_000 }, (_, count) => ({
        id: `${place}.${count}`,
        status: 'applied',
      }));
      return each.receipt(receipts);
    });
    for (let time = 0; time < 10; time += 1) {
      assert.deepEqual(await device.receipt({ id, status: 'received' }), { ok: true });
    }
    for (const answer of await Promise.all(nonsense)) assert.equal(answer.error.code, 'unknown_command');
  });
});
