import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { fire, makeAction, makeDevice, makeGroup, makeStep, traceOf } from './support/fleet.ts';
import { onEveryDatabase, type TestServer } from './support/server.ts';
import { waitFor } from './support/wait.ts';

onEveryDatabase('commands', (start) => {
  let server: TestServer;
  before(async () => {
    server = await start();
  });

  const toasts = (device: { commands: { params: Record<string, unknown> }[] }) =>
    device.commands.map((command) => command.params.message);

  test('every target kind reaches its devices and nobody else', async () => {
    const top = await makeGroup(server, 'top');
    const below = await makeGroup(server, 'below', top);
    const made = {
      inTop: await makeDevice(server, { name: 'in top', group_id: top, tags: ['red'] }),
      inBelow: await makeDevice(server, { name: 'in below', group_id: below, tags: ['red', 'blue'] }),
      outside: await makeDevice(server, { name: 'outside', tags: ['blue'] }),
    };
    const connected = {
      inTop: await server.device(made.inTop.token),
      inBelow: await server.device(made.inBelow.token),
      outside: await server.device(made.outside.token),
    };
    const cases: [object, (keyof typeof made)[]][] = [
      [{ all: true }, ['inTop', 'inBelow', 'outside']],
      [{ groups: [top] }, ['inTop', 'inBelow']],
      [{ groups: [below] }, ['inBelow']],
      [{ groups: [top, below] }, ['inTop', 'inBelow']],
      [{ devices: [made.outside.id, made.inTop.id] }, ['inTop', 'outside']],
      [{ tags: ['red'] }, ['inTop', 'inBelow']],
      [{ tags: ['red', 'blue'], match: 'any' }, ['inTop', 'inBelow', 'outside']],
      [{ tags: ['red', 'blue'], match: 'all' }, ['inBelow']],
      [{ tags: ['nobody'] }, []],
    ];
    const expected: Record<string, string[]> = { inTop: [], inBelow: [], outside: [] };
    for (const [place, [target, reached]] of cases.entries()) {
      const { status, body } = await server.api('/commands', {
        body: { function: 'show_toast', params: { message: `t${place}` }, target },
      });
      assert.equal(status, 201, JSON.stringify(body));
      assert.deepEqual(
        [body.targeted, body.online],
        [reached.length, reached.length],
        JSON.stringify(target),
      );
      for (const name of reached) expected[name]?.push(`t${place}`);
    }
    // The last word for all of them: what was sent before has arrived by then.
    await server.api('/commands', {
      body: { function: 'show_toast', params: { message: 'end' }, target: { all: true } },
    });
    for (const [name, device] of Object.entries(connected)) {
      await waitFor(() => toasts(device).includes('end'), { what: 'the last toast' });
      assert.deepEqual(toasts(device), [...(expected[name] ?? []), 'end'], name);
    }
    for (const device of Object.values(connected)) await device.applyAll();
  });

  test('a device that was off gets the pulses it missed, oldest first, until it has receipted them', async () => {
    const made = await makeDevice(server, { name: 'late', tags: ['late'] });
    await makeStep(server, 'late', 'show_toast', { message: '{{ payload.text }}' }, { tags: ['late'] });
    for (const text of ['one', 'two', 'three']) await fire(server, 'late', { text });
    const first = await server.device(made.token);
    const mine = (device: typeof first) =>
      toasts(device).filter((text) => text !== 'end' && !/^t\d/.test(String(text)));
    await waitFor(() => mine(first).length === 3, { what: 'three toasts' });
    assert.deepEqual(mine(first), ['one', 'two', 'three']);
    const [one, two] = first.commands.filter((command) =>
      ['one', 'two'].includes(String(command.params.message)),
    );
    await first.receipt({ id: one?.id, status: 'applied' });
    await first.receipt({ id: two?.id, status: 'received' });
    first.disconnect();
    const second = await server.device(made.token);
    await waitFor(() => mine(second).length === 2, { what: 'two toasts' });
    assert.deepEqual(mine(second), ['two', 'three'], 'received is not done');
  });

  test('a pulse that has ended, or was canceled, reaches nobody any more', async () => {
    const made = await makeDevice(server, { name: 'gone', tags: ['gone'] });
    const { body } = await server.api('/commands', {
      body: { function: 'show_toast', params: { message: 'no' }, target: { tags: ['gone'] } },
    });
    const canceled = await server.api(`/commands/${body.id}/cancel`, { method: 'POST' });
    assert.deepEqual([canceled.status, canceled.body.status], [200, 'canceled']);
    assert.equal((await server.api(`/commands/${body.id}/cancel`, { method: 'POST' })).status, 409);
    await server.api('/commands', {
      body: { function: 'show_toast', params: { message: 'yes' }, target: { tags: ['gone'] } },
    });
    const device = await server.device(made.token);
    await waitFor(() => toasts(device).includes('yes'), { what: 'the second toast' });
    assert.ok(!toasts(device).includes('no'));
    assert.equal((await server.api(`/commands/${body.id}`)).body.coverage.expired, 1);
  });

  test('the trace counts every device once, under what it said', async () => {
    const names = ['applied', 'failed', 'received', 'silent', 'off'];
    const made = await Promise.all(
      names.map((name) => makeDevice(server, { name: `says ${name}`, tags: ['says'] })),
    );
    await makeStep(server, 'says', 'show_toast', { message: 'says' }, { tags: ['says'] });
    const connected = await Promise.all(made.slice(0, 4).map((device) => server.device(device.token)));
    const { trigger_id, commands } = await fire(server, 'says');
    assert.deepEqual([commands[0].targeted, commands[0].online], [5, 4]);
    for (const [place, device] of connected.entries()) {
      const status = names[place];
      await waitFor(() => device.commands.some((command) => command.id === commands[0].id), {
        what: 'the command',
      });
      if (status === 'silent') continue;
      if (status !== 'received') await device.receipt({ id: commands[0].id, status: 'received' });
      assert.deepEqual(await device.receipt({ id: commands[0].id, status, detail: `because ${status}` }), {
        ok: true,
      });
    }
    const [command] = (await traceOf(server, trigger_id)).commands;
    assert.deepEqual(command.coverage, {
      targeted: 5,
      online: 4,
      received: 1,
      applied: 1,
      failed: 1,
      expired: 0,
      missing: 2,
    });
    const said = new Map(command.devices.map((device: { name: string }) => [device.name, device]));
    assert.partialDeepStrictEqual(said.get('says failed'), {
      status: 'failed',
      detail: 'because failed',
      online: true,
    });
    assert.partialDeepStrictEqual(said.get('says off'), { status: 'missing', online: false, at: null });
    const receipts = await server.api(`/commands/${command.id}/receipts?limit=2`);
    assert.equal(receipts.body.items.length, 2);
    assert.ok(receipts.body.next_cursor);
  });

  test('a device cannot receipt what is not its own, and garbage is answered', async () => {
    const made = await makeDevice(server, { name: 'strange' });
    const device = await server.device(made.token);
    const other = await makeDevice(server, { name: 'other' });
    const { body } = await server.api('/commands', {
      body: { function: 'refresh_content', target: { devices: [other.id] } },
    });
    const refused = await device.receipt({ id: body.id, status: 'applied' });
    assert.equal(refused.ok === false && refused.error.code, 'unknown_command');
    assert.equal((await server.api(`/commands/${body.id}`)).body.coverage.applied, 0);
    const garbage = [
      null,
      7,
      'text',
      {},
      [],
      [null],
      { id: 1 },
      { id: 'x', status: 'done' },
      [[]],
      { id: 'x'.repeat(100), status: 'applied' },
    ];
    for (const input of garbage) {
      const answer = await device.receipt(input);
      assert.equal(answer.ok === false && answer.error.code, 'bad_request', JSON.stringify(input));
    }
    for (const event of ['event', 'message', 'bulk'] as const) {
      const answer = await device.socket.timeout(5_000).emitWithAck(event, {}, new Uint8Array(3));
      assert.equal(typeof answer, 'object', event);
    }
    device.socket.emit('receipt', 'no ack at all');
    device.socket.emit('no such event', { a: 1 });
    assert.equal(device.socket.connected, true);
  });

  test('an array stores what is good in it, also when something in it is not', async () => {
    const made = await makeDevice(server, { name: 'array' });
    const device = await server.device(made.token);
    const { body } = await server.api('/commands', {
      body: { function: 'refresh_content', target: { devices: [made.id] } },
    });
    const answer = await device.receipt([
      { id: 'nobody', status: 'applied' },
      { id: body.id, status: 'applied' },
    ]);
    assert.equal(answer.ok, false);
    assert.equal((await server.api(`/commands/${body.id}`)).body.coverage.applied, 1);
  });

  test('a flood is answered with too_many, and other devices do not feel it', async () => {
    const flooding = await server.device((await makeDevice(server, { name: 'floods' })).token);
    const calm = await server.device((await makeDevice(server, { name: 'calm', tags: ['calm'] })).token);
    const answers = await Promise.all(
      Array.from({ length: 2_000 }, () => flooding.receipt({ id: 'x', status: 'applied' })),
    );
    const codes = Map.groupBy(answers, (answer) => (answer.ok ? 'ok' : answer.error.code));
    assert.ok((codes.get('too_many')?.length ?? 0) > 1_000, [...codes.keys()].join());
    assert.equal(flooding.socket.connected, true);
    await server.api('/commands', { body: { function: 'refresh_content', target: { tags: ['calm'] } } });
    await waitFor(() => calm.commands.some((command) => command.function === 'refresh_content'), {
      what: 'the command',
    });
  });

  test('a device that connects while commands are issued hears each of them once', async () => {
    const made = await makeDevice(server, { name: 'racing', tags: ['racing'] });
    await makeStep(server, 'race', 'show_toast', { message: '{{ payload.n }}' }, { tags: ['racing'] });
    const fired = Promise.all(Array.from({ length: 60 }, (_, n) => fire(server, 'race', { n: `r${n}` })));
    const device = await server.device(made.token);
    await fired;
    const heard = () => toasts(device).filter((text) => String(text).startsWith('r'));
    await waitFor(() => heard().length >= 60, { what: () => `60 toasts, heard ${heard().length}` });
    assert.deepEqual(heard().length, new Set(heard()).size);
  });

  test('calls of many steps that arrive together share a commit, however many rows it takes', async () => {
    const tags = Array.from({ length: 50 }, (_, place) => `many-${place}`);
    const step = { function: 'refresh_content', target: { tags, match: 'any' } };
    await makeAction(server, { event_id: 'many', steps: Array.from({ length: 50 }, () => step) });
    const answers = await Promise.all(Array.from({ length: 60 }, () => server.trigger({ event_id: 'many' })));
    assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([200]));
    assert.equal((await traceOf(server, answers[59]?.body.trigger_id)).commands.length, 50);
  });

  test('a handshake without a good token is refused by its code', async () => {
    for (const token of ['', 'fhd_nonsense', undefined]) {
      const refused = await server.device(token as string).catch((error) => error);
      assert.equal(refused.data?.code, 'bad_token');
    }
  });
});
