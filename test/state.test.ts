import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import fc from 'fast-check';
import { foldSlot, type StateCommand } from '../src/domain/device/state.ts';
import { fire, makeAction, makeDevice, makeGroup, makeStep, traceOf } from './support/fleet.ts';
import { onEveryDatabase, type TestDevice, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

onEveryDatabase('state', (start) => {
  let server: TestServer;
  before(async () => {
    server = await start();
    await makeStep(server, 'fire', 'enable_emergency', {
      message: 'fire',
      priority: 90,
      url: 'https://example.com/fire',
    });
    await makeStep(server, 'drill', 'enable_emergency', {
      message: 'drill',
      priority: 10,
      drill: true,
      level: 'info',
    });
    await makeStep(server, 'clear', 'disable_emergency');
    await makeStep(server, 'page', 'load_url', { url: 'https://example.com/{{ payload.page }}' });
    await makeStep(server, 'pause', 'pause_loop');
    await makeStep(server, 'resume', 'resume_loop');
  });

  const shows = (device: TestDevice) => device.state.emergency?.message ?? null;
  const untilShows = (device: TestDevice, message: string | null) =>
    waitFor(() => shows(device) === message, { what: () => `"${message}", it shows "${shows(device)}"` });

  test('a device that was off during enable_emergency shows it on connect, and its receipt proves it', async () => {
    const made = await makeDevice(server, { name: 'off' });
    const { trigger_id, commands } = await fire(server, 'fire');
    const device = await server.device(made.token);
    const [first] = device.states;
    assert.deepEqual(first?.emergency, {
      command_id: commands[0].id,
      message: 'fire',
      url: 'https://example.com/fire',
      level: 'critical',
      priority: 90,
      drill: false,
      expires_at: null,
    });
    assert.deepEqual([first?.content, first?.loop, first?.causes], [null, null, [commands[0].id]]);
    await device.applyAll();
    device.disconnect();
    const again = await server.device(made.token);
    assert.deepEqual(again.states[0]?.causes, [], 'receipted: no cause any more');
    assert.equal(shows(again), 'fire');
    assert.equal((await traceOf(server, trigger_id)).commands[0].coverage.applied, 1);
    await fire(server, 'clear');
    await untilShows(again, null);
  });

  test('the higher priority shows, the next one returns, and clear ends them all, also for who is off', async () => {
    const device = await server.device((await makeDevice(server, { name: 'overlap' })).token);
    const off = await makeDevice(server, { name: 'overlap off' });
    await fire(server, 'drill');
    await untilShows(device, 'drill');
    const { commands } = await fire(server, 'fire');
    await untilShows(device, 'fire');
    const lower = await fire(server, 'drill');
    await waitFor(() => device.states.at(-1)?.causes.includes(lower.commands[0].id), {
      what: 'the drill again',
    });
    assert.equal(shows(device), 'fire', 'a lower priority does not take over, but is told and receipted');
    assert.deepEqual(Object.keys(device.states.at(-1) ?? {}).sort(), ['at', 'causes', 'emergency']);
    await server.api(`/commands/${commands[0].id}/cancel`, { method: 'POST' });
    await untilShows(device, 'drill');
    await fire(server, 'clear');
    await untilShows(device, null);
    assert.equal(shows(await server.device(off.token)), null);
  });

  test('the end is kept by the server clock', async () => {
    const device = await server.device(
      (await makeDevice(server, { name: 'ending', tags: ['ending'] })).token,
    );
    await makeStep(
      server,
      'short',
      'enable_emergency',
      { message: 'short', expires_in: 1, priority: 99 },
      { tags: ['ending'] },
    );
    await makeStep(server, 'long', 'enable_emergency', { message: 'long' }, { tags: ['ending'] });
    await fire(server, 'long');
    await fire(server, 'short');
    await untilShows(device, 'short');
    await untilShows(device, 'long');
    assert.deepEqual(device.states.at(-1)?.causes, [], 'an end has no cause');
    await fire(server, 'clear');
    await untilShows(device, null);
  });

  test('the same step again renews and never stacks', async () => {
    const device = await server.device((await makeDevice(server, { name: 'renew' })).token);
    for (let time = 0; time < 5; time += 1) await fire(server, 'fire');
    await untilShows(device, 'fire');
    const inForce = (await server.api('/commands?function=enable_emergency')).body.items.filter(
      (command: { status: string }) => command.status === 'active',
    );
    assert.equal(inForce.length, 1);
    await fire(server, 'clear');
  });

  test('content and loop are the latest, and what they cover is replaced', async () => {
    const made = await makeDevice(server, { name: 'content' });
    const first = await fire(server, 'page', { page: 'a' });
    await fire(server, 'page', { page: 'b' });
    await fire(server, 'pause');
    const device = await server.device(made.token);
    assert.equal(device.state.content?.url, 'https://example.com/b');
    assert.equal(device.state.loop?.paused, true);
    await fire(server, 'resume');
    await waitFor(() => device.state.loop?.paused === false, { what: 'the loop' });
    assert.equal((await server.api(`/commands/${first.commands[0].id}`)).body.status, 'replaced');
    assert.deepEqual((await server.api(`/devices/${made.id}/state`)).body, { ...device.state });
  });

  test('a group hears its own emergencies, and a device that moves shows those of its new place', async () => {
    const [hall, yard] = [await makeGroup(server, 'hall'), await makeGroup(server, 'yard')];
    await makeStep(server, 'hall', 'enable_emergency', { message: 'hall' }, { groups: [hall] });
    await makeStep(server, 'hall-clear', 'disable_emergency', {}, { groups: [hall] });
    const made = await makeDevice(server, { name: 'moves', group_id: yard });
    const device = await server.device(made.token);
    await fire(server, 'hall');
    assert.equal(shows(device), null);
    await server.api(`/devices/${made.id}`, { method: 'PATCH', body: { group_id: hall } });
    await untilShows(device, 'hall');
    await server.api(`/devices/${made.id}`, { method: 'PATCH', body: { group_id: yard } });
    await untilShows(device, null);
    await fire(server, 'hall-clear');
  });

  test('several steps of one action arrive in their order', async () => {
    const device = await server.device((await makeDevice(server, { name: 'steps', tags: ['steps'] })).token);
    const target = { tags: ['steps'] };
    await makeAction(server, {
      event_id: 'steps',
      steps: [
        { function: 'load_url', params: { url: 'https://example.com/1' }, target },
        { function: 'enable_emergency', params: { message: 'steps' }, target },
        { function: 'disable_emergency', target },
        { function: 'show_toast', params: { message: 'last' }, target },
      ],
    });
    const { trigger_id } = await fire(server, 'steps');
    await waitFor(() => device.commands.some((command) => command.params.message === 'last'), {
      what: 'the toast',
    });
    assert.deepEqual(
      device.states
        .slice(1)
        .map((message) => Object.keys(message).find((name) => name !== 'causes' && name !== 'at')),
      ['content', 'emergency', 'emergency'],
    );
    assert.equal(shows(device), null);
    await device.applyAll();
    assert.equal((await traceOf(server, trigger_id)).coverage.reached, true);
  });
});

suite('the fold', () => {
  const now = 1_000_000;
  const commandsOf = fc.array(
    fc.record({
      enable: fc.boolean(),
      priority: fc.integer({ min: 0, max: 3 }),
      expiresAt: fc.option(fc.integer({ min: now - 5, max: now + 5 })),
    }),
    { maxLength: 12 },
  );

  test('shows the highest of the emergencies since the last disable, the latest of equals', () => {
    fc.assert(
      fc.property(commandsOf, (given) => {
        const commands = given.map(
          ({ enable, priority, expiresAt }, place): StateCommand => ({
            id: String(place),
            function: enable ? 'enable_emergency' : 'disable_emergency',
            params: { priority },
            expiresAt: enable ? expiresAt : null,
          }),
        );
        const cleared = commands.findLastIndex((command) => command.function === 'disable_emergency');
        const [expected] = commands
          .slice(cleared + 1)
          .filter((command) => command.expiresAt === null || command.expiresAt > now)
          .sort(
            (one, other) =>
              Number(other.params.priority) - Number(one.params.priority) ||
              Number(other.id) - Number(one.id),
          );
        assert.equal(foldSlot('emergency', commands, now)?.command_id, expected?.id);
      }),
    );
  });
});
