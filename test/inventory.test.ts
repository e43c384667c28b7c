import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyOf, codeOf, listAll, makeTenant, oneServer, type Tenant } from './support/management.ts';
import { type Answer, onEveryDatabase } from './support/server.ts';

const emergency = (target: unknown) => ({ function: 'enable_emergency', params: {}, target });

onEveryDatabase('inventory', (start) => {
  const server = oneServer(start);
  let projects = 0;

  /** Each test has a project of its own. */
  async function tenant(): Promise<Tenant> {
    projects += 1;
    return makeTenant(server(), `Project ${projects}`, ['manage']);
  }
  const patch = async ({ api }: Tenant, path: string, body: unknown) =>
    bodyOf(await api(path, { method: 'PATCH', body }), 200);
  const remove = ({ api }: Tenant, path: string) => api(path, { method: 'DELETE' });
  const csv = ({ api }: Tenant, raw: string) =>
    api('/devices', { raw, headers: { 'content-type': 'text/csv' } });
  const namesOf = async ({ api }: Tenant, path: string) =>
    (await listAll(api, path)).map(({ name }) => name).sort();

  test('group 1 is not group 11', async () => {
    const of = await tenant();
    const groups = [];
    for (let place = 0; place < 12; place += 1) groups.push(await of.make('/groups', { name: `g${place}` }));
    const [first] = groups;
    const longer = groups.find(({ id }) => id !== first.id && String(id).startsWith(String(first.id)));
    assert.ok(longer, 'this test comes first, while ids are small');
    await of.make('/devices', { name: 'inside', group_id: longer.id });
    assert.deepEqual(await namesOf(of, `/devices?group_id=${first.id}`), []);
    const issued = await of.make('/commands', emergency({ groups: [first.id] }));
    assert.equal(issued.targeted, 0);
  });

  test('projects are made, renamed and deleted, but not with devices, and not the first', async () => {
    const of = await tenant();
    const { api } = server();
    const path = `/projects/${of.projectId}`;
    const device = await of.make('/devices', { name: 'one' });
    assert.equal(
      bodyOf(await api(path, { method: 'PATCH', body: { name: 'Renamed' } }), 200).name,
      'Renamed',
    );
    assert.deepEqual(codeOf(await api('/projects', { body: { name: 'Renamed' } })), [409, 'name_taken']);
    assert.ok(
      (await listAll(api, '/projects')).some(({ id, name }) => id === of.projectId && name === 'Renamed'),
    );
    assert.deepEqual(codeOf(await api(path, { method: 'DELETE' })), [409, 'in_use']);
    bodyOf(await remove(of, `/devices/${device.id}`), 204);
    bodyOf(await api(path, { method: 'DELETE' }), 204);
    assert.equal((await api(path)).status, 404);
    assert.equal((await of.api('/whoami')).status, 401, 'its key is gone with it');
    assert.deepEqual(codeOf(await api('/projects/1', { method: 'DELETE' })), [409, 'conflict']);
  });

  test('groups form a tree; what is moved takes along what is below it', async () => {
    const of = await tenant();
    const [north, south] = [await of.make('/groups', { name: 'N' }), await of.make('/groups', { name: 'S' })];
    const hall = await of.make('/groups', { name: 'Hall', parent_id: north.id });
    const desk = await of.make('/groups', { name: 'Desk', parent_id: hall.id });
    const device = await of.make('/devices', { name: 'screen', group_id: desk.id });
    assert.deepEqual(desk.path, [north.id, hall.id, desk.id]);
    assert.equal((await patch(of, `/groups/${hall.id}`, { parent_id: south.id })).parent_id, south.id);
    const path = [south.id, hall.id, desk.id];
    assert.deepEqual(bodyOf(await of.api(`/groups/${desk.id}`), 200).path, path);
    assert.deepEqual(bodyOf(await of.api(`/devices/${device.id}`), 200).group_path, path);
    assert.deepEqual(await namesOf(of, `/devices?group_id=${north.id}`), []);
    assert.deepEqual(await namesOf(of, `/devices?group_id=${south.id}`), ['screen']);
    assert.deepEqual(await namesOf(of, `/groups?parent_id=${south.id}`), ['Hall']);
    assert.deepEqual(await namesOf(of, '/groups?parent_id=0'), ['N', 'S']);
    assert.equal((await patch(of, `/groups/${hall.id}`, { parent_id: null })).parent_id, null);
  });

  test('groups: what cannot be', async () => {
    const of = await tenant();
    const top = await of.make('/groups', { name: 'Top' });
    const below = await of.make('/groups', { name: 'Below', parent_id: top.id });
    const other = await of.make('/groups', { name: 'Other' });
    await of.make('/groups', { name: 'Top', parent_id: top.id });
    await of.make('/devices', { name: 'one', group_id: below.id });
    const wrong: [string, string, unknown, unknown][] = [
      ['PATCH', `/groups/${top.id}`, { parent_id: below.id }, [409, 'conflict']],
      ['PATCH', `/groups/${top.id}`, { parent_id: top.id }, [409, 'conflict']],
      ['PATCH', `/groups/${top.id}`, { parent_id: 999_999 }, [422, 'unknown_target']],
      ['PATCH', `/groups/${other.id}`, { name: 'Top' }, [409, 'name_taken']],
      ['PATCH', `/groups/${other.id}`, { name: '' }, [400, 'bad_request']],
      ['POST', '/groups', { name: ' Top ' }, [409, 'name_taken']],
      ['POST', '/groups', { name: 'x', parent_id: 999_999 }, [422, 'unknown_target']],
      ['DELETE', `/groups/${top.id}`, undefined, [409, 'in_use']],
      ['DELETE', `/groups/${below.id}`, undefined, [409, 'in_use']],
    ];
    for (const [method, path, body, expected] of wrong) {
      assert.deepEqual(codeOf(await of.api(path, { method, body })), expected, `${method} ${path}`);
    }
    assert.deepEqual(await namesOf(of, '/groups'), ['Below', 'Other', 'Top', 'Top']);
    assert.equal((await remove(of, `/groups/${other.id}`)).status, 204);
  });

  test('groups can be 16 deep, also after a move', async () => {
    const of = await tenant();
    let parent_id: number | null = null;
    for (let depth = 1; depth <= 16; depth += 1) {
      parent_id = (await of.make('/groups', { name: 'deep', parent_id })).id;
    }
    const tooDeep = await of.api('/groups', { body: { name: 'deeper', parent_id } });
    assert.deepEqual(codeOf(tooDeep), [409, 'conflict']);
    const [deep] = await listAll(of.api, '/groups');
    const top = await of.make('/groups', { name: 'top' });
    const moved = await of.api(`/groups/${deep.id}`, { method: 'PATCH', body: { parent_id: top.id } });
    assert.deepEqual(codeOf(moved), [409, 'conflict']);
    assert.equal(bodyOf(await of.api(`/groups/${parent_id}`), 200).path.length, 16);
  });

  test('a group takes a new name and a new place in one call', async () => {
    const of = await tenant();
    await of.make('/groups', { name: 'Hall' });
    const [lobby, site] = [
      await of.make('/groups', { name: 'Lobby' }),
      await of.make('/groups', { name: 'Site' }),
    ];
    const body = { name: 'Hall', parent_id: site.id };
    const moved = await of.api(`/groups/${lobby.id}`, { method: 'PATCH', body });
    assert.deepEqual([moved.status, moved.body.name, moved.body.parent_id], [200, 'Hall', site.id]);
  });

  test('groups that are moved into each other at the same time make no circle', async () => {
    const of = await tenant();
    const move = (id: number, parent_id: number) =>
      of.api(`/groups/${id}`, { method: 'PATCH', body: { parent_id } });
    for (let round = 0; round < 10; round += 1) {
      const one = await of.make('/groups', { name: `one ${round}` });
      const other = await of.make('/groups', { name: `other ${round}` });
      const answers = await Promise.all([move(one.id, other.id), move(other.id, one.id)]);
      assert.deepEqual(answers.map(codeOf).sort(), [
        [200, undefined],
        [409, 'conflict'],
      ]);
    }
  });

  for (const place of ['group', 'type', 'project']) {
    test(`no device is put in a ${place} that is deleted at the same time`, async () => {
      for (let round = 0; round < 5; round += 1) {
        const of = await tenant();
        const group = await of.make('/groups', { name: 'Hall' });
        const type = await of.make('/device-types', { name: 'Screen' });
        const more = { group: { group_id: group.id }, type: { type: type.id } }[place];
        const path = { group: `/groups/${group.id}`, type: `/device-types/${type.id}` }[place];
        const made = of.api('/devices', { body: { name: 'one', ...more } });
        const api = path ? of.api : server().api;
        const deleted = api(path ?? `/projects/${of.projectId}`, { method: 'DELETE' });
        const statuses = [(await made).status, (await deleted).status];
        assert.match(statuses.join(), /^(201,409|40[14],204|422,204)$/);
      }
    });
  }

  test('device types: made, changed, not deleted while devices are of it', async () => {
    const of = await tenant();
    const message_types = [{ id: 'reading', schema: { type: 'object', required: ['celsius'] } }];
    const type = await of.make('/device-types', { id: 'thermo', name: 'Thermometer', message_types });
    assert.deepEqual(bodyOf(await of.api('/device-types/thermo'), 200), type);
    const taken = [{ id: 'thermo', name: 'x' }, { name: 'Thermometer' }];
    for (const body of taken) {
      assert.deepEqual(codeOf(await of.api('/device-types', { body })), [409, 'name_taken']);
    }
    const device = await of.make('/devices', { name: 'one', type: 'Thermometer' });
    assert.equal((await patch(of, '/device-types/thermo', { name: 'Probe' })).name, 'Probe');
    assert.equal(bodyOf(await of.api(`/devices/${device.id}`), 200).type, 'Probe');
    assert.deepEqual(codeOf(await remove(of, '/device-types/thermo')), [409, 'in_use']);
    await patch(of, `/devices/${device.id}`, { type: null });
    assert.equal((await remove(of, '/device-types/thermo')).status, 204);
    const wrong = [
      { name: 'x', id: 'a b' },
      { name: 'x', message_types: [{ id: 'a' }, { id: 'a' }] },
    ];
    for (const body of wrong) assert.equal((await of.api('/device-types', { body })).status, 400);
    const broken = { name: 'x', message_types: [{ id: 'a', schema: { type: 'nonsense' } }] };
    assert.deepEqual(codeOf(await of.api('/device-types', { body: broken })), [422, 'bad_schema']);
  });

  test('a device is made with all that belongs to it, and changed', async () => {
    const of = await tenant();
    const group = await of.make('/groups', { name: 'Hall' });
    const type = await of.make('/device-types', { name: 'Screen' });
    const metadata = { floor: 1, nested: { emoji: '🚨', list: [1, null, true] } };
    const body = { name: 'Écran 🖥', group_id: group.id, type: type.id, tags: ['b', 'a', 'b'], metadata };
    const { token, ...made } = await of.make('/devices', body);
    assert.match(token, /^fhd_[0-9A-Za-z]{38}$/);
    assert.deepEqual(bodyOf(await of.api(`/devices/${made.id}`), 200), made);
    const { name, type: typeName, tags, online, last_seen_at, connected_at, address } = made;
    assert.deepEqual([name, typeName, tags], ['Écran 🖥', 'Screen', ['a', 'b']]);
    assert.deepEqual([online, last_seen_at, connected_at, address], [false, null, null, null]);
    assert.deepEqual(made.metadata, metadata);
    const change = { name: 'New', group_id: null, type: null, tags: ['c'], metadata: { only: 'this' } };
    const changed = await patch(of, `/devices/${made.id}`, change);
    assert.partialDeepStrictEqual(changed, change);
    assert.deepEqual(changed.metadata, change.metadata);
    assert.deepEqual(await patch(of, `/devices/${made.id}`, {}), changed);
  });

  test('devices: what cannot be', async () => {
    const of = await tenant();
    await of.make('/devices', { name: 'taken' });
    const wrong: [unknown, unknown[]][] = [
      [{}, [400, 'bad_request']],
      [{ name: 'taken' }, [409, 'name_taken']],
      [{ name: ' taken ' }, [409, 'name_taken']],
      [{ name: 'x', group_id: 999_999 }, [422, 'unknown_target']],
      [{ name: 'x', group: 'Nowhere' }, [422, 'unknown_target']],
      [{ name: 'x', type: 'nothing' }, [422, 'unknown_target']],
      [{ name: 'x', tags: ['with space'] }, [400, 'bad_request']],
      [{ name: 'x', tags: ['a,b'] }, [400, 'bad_request']],
      [{ name: 'x', tags: Array.from({ length: 101 }, (_, tag) => `t${tag}`) }, [400, 'bad_request']],
      [{ name: 'x', metadata: [] }, [400, 'bad_request']],
      [{ name: 'x', metadata: { long: 'x'.repeat(16_384) } }, [400, 'bad_request']],
      [{ name: 'x', token: 'fhd_mine' }, [400, 'bad_request']],
      [[], [400, 'bad_request']],
      [
        [{ name: 'x' }, { name: 'taken' }],
        [409, 'name_taken'],
      ],
      [
        [{ name: 'x' }, { name: 'y' }, { name: ' x' }],
        [409, 'name_taken'],
      ],
      [
        [{ name: 'x' }, { name: 'y', group_id: 999_999 }],
        [422, 'unknown_target'],
      ],
      [
        [{ name: 'x' }, { name: 'y', tags: 'no list' }],
        [400, 'bad_request'],
      ],
    ];
    for (const [body, expected] of wrong) {
      const answer = await of.api('/devices', { body });
      assert.deepEqual(codeOf(answer), expected, JSON.stringify(body).slice(0, 80));
    }
    assert.deepEqual(await namesOf(of, '/devices'), ['taken']);
    const changes = await listAll(of.api, '/audit?change=device.create');
    assert.equal(changes.length, 1);
    for (const name of ['Taken', 'tàken', 'taken2']) await of.make('/devices', { name });
  });

  test('devices come as CSV', async () => {
    const of = await tenant();
    const group = await of.make('/groups', { name: 'Hall, left' });
    await of.make('/device-types', { id: 'screen', name: 'Screen' });
    const table =
      '\uFEFFname,group,type,tags,metadata\r\n' +
      'one,"Hall, left",screen,lobby; first,"{""floor"":1,""say"":""a;b""}"\r\n\r\n' +
      '"two ""2""",,Screen,,\r\n';
    const { items } = bodyOf(await csv(of, table), 201);
    const [one, two] = await listAll(of.api, '/devices');
    assert.deepEqual([one.name, one.group_id, one.tags], ['one', group.id, ['first', 'lobby']]);
    assert.deepEqual(one.metadata, { floor: 1, say: 'a;b' });
    assert.deepEqual([two.name, two.group_id, two.tags, two.metadata], ['two "2"', null, [], {}]);
    for (const [place, device] of [one, two].entries()) {
      assert.deepEqual([items[place].id, items[place].type], [device.id, device.type]);
      assert.ok((await server().device(items[place].token)).socket.connected);
    }
  });

  test('CSV that is wrong makes nothing', async () => {
    const of = await tenant();
    await of.make('/devices', { name: 'taken' });
    const top = await of.make('/groups', { name: 'Twice' });
    await of.make('/groups', { name: 'Twice', parent_id: top.id });
    const deep = `{""a"":${'['.repeat(64)}${']'.repeat(64)}}`;
    const deepest = `{""a"":${'['.repeat(8_000)}${']'.repeat(8_000)}}`;
    const wrong: [string, unknown[]][] = [
      ['', [400, 'bad_request']],
      ['name\n', [400, 'bad_request']],
      ['name,colour\nx,red\n', [400, 'bad_request']],
      ['name\nx,y\n', [400, 'bad_request']],
      ['name\n"x\n', [400, 'bad_request']],
      ['tags\na\n', [400, 'bad_request']],
      ['name,metadata\nx,floor 1\n', [400, 'bad_request']],
      [`name,metadata\nx,"${deep}"\n`, [400, 'bad_request']],
      [`name,metadata\nx,"${deepest}"\n`, [400, 'bad_request']],
      ['name,group_id\nx,one\n', [400, 'bad_request']],
      ['name,group\nx,Nowhere\n', [422, 'unknown_target']],
      ['name,group\nx,Twice\n', [422, 'unknown_target']],
      ['name\nx\ntaken\n', [409, 'name_taken']],
      ['name\nx\nx\n', [409, 'name_taken']],
    ];
    for (const [table, expected] of wrong) {
      assert.deepEqual(codeOf(await csv(of, table)), expected, table.slice(0, 30));
    }
    assert.deepEqual(await namesOf(of, '/devices'), ['taken']);
  });

  test('ten thousand devices in one call, and not one more', async () => {
    const of = await tenant();
    const names = Array.from({ length: 10_001 }, (_, place) => ({ name: `device ${place}`, tags: ['all'] }));
    assert.deepEqual(codeOf(await of.api('/devices', { body: names })), [400, 'bad_request']);
    const table = `name\n${names.map(({ name }) => name).join('\n')}\n`;
    assert.deepEqual(codeOf(await csv(of, table)), [400, 'bad_request']);
    assert.equal(bodyOf(await of.api('/devices'), 200).items.length, 0);
    const { items } = bodyOf(await of.api('/devices', { body: names.slice(1) }), 201);
    assert.equal(new Set(items.map(({ token }: { token: string }) => token)).size, 10_000);
    const ids = (await listAll(of.api, '/devices')).map(({ id }) => id);
    assert.deepEqual(
      ids,
      items.map(({ id }: { id: number }) => id),
    );
    assert.equal((await of.make('/commands', emergency({ tags: ['all'] }))).targeted, 10_000);
  });

  test('filters narrow, together', async () => {
    const of = await tenant();
    const group = await of.make('/groups', { name: 'Hall' });
    await of.make('/device-types', { id: 'screen', name: 'Screen' });
    const screen = { type: 'screen', tags: ['lobby'] };
    const devices = await of.make('/devices', [
      { name: 'Hall left', group_id: group.id, ...screen },
      { name: 'Hall right', group_id: group.id, tags: ['Lobby', '50%_off'] },
      { name: 'hall lamp', ...screen },
    ]);
    await server().device(devices.items[2].token);
    const filters: [string, string[]][] = [
      [`group_id=${group.id}`, ['Hall left', 'Hall right']],
      ['type=screen', ['Hall left', 'hall lamp']],
      ['type=Screen', ['Hall left', 'hall lamp']],
      ['tag=lobby', ['Hall left', 'hall lamp']],
      ['tag=Lobby', ['Hall right']],
      ['tag=50%25_off', ['Hall right']],
      ['tag=nothing', []],
      ['q=Hall', ['Hall left', 'Hall right']],
      ['q=%25', []],
      ['online=true', ['hall lamp']],
      ['online=false', ['Hall left', 'Hall right']],
      [`group_id=${group.id}&tag=lobby&q=left`, ['Hall left']],
      [`group_id=${group.id}&online=true`, []],
    ];
    for (const [query, names] of filters)
      assert.deepEqual(await namesOf(of, `/devices?${query}`), names, query);
    assert.deepEqual(bodyOf(await of.api('/devices?type=none'), 200).items, []);
    for (const query of ['group_id=x', 'online=perhaps', 'colour=red', 'limit=0', 'limit=x', 'limit=1.5']) {
      assert.deepEqual(codeOf(await of.api(`/devices?${query}`)), [400, 'bad_request'], query);
    }
  });

  test('pages walk through everything exactly once, whatever happens meanwhile', async () => {
    const of = await tenant();
    const make = (from: number, count: number) =>
      of.make(
        '/devices',
        Array.from({ length: count }, (_, place) => ({ name: `d${from + place}` })),
      );
    const ids = (await make(0, 23)).items.map(({ id }: { id: number }) => id);
    const seen: number[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: Answer['body'] = bodyOf(await of.api(`/devices?limit=5${cursor}`), 200);
      seen.push(...page.items.map(({ id }: { id: number }) => id));
      // The one that the next page goes on from.
      if (cursor === '') await remove(of, `/devices/${seen.at(-1)}`);
      cursor = page.next_cursor && `&cursor=${page.next_cursor}`;
    }
    assert.deepEqual(seen, ids);
    await make(100, 200);
    assert.equal(bodyOf(await of.api('/devices?limit=1000'), 200).items.length, 200);
    assert.equal(bodyOf(await of.api('/devices'), 200).items.length, 50);
  });

  const lists = 'keys users audit groups device-types devices actions links triggers commands'.split(' ');
  for (const list of [...lists, 'projects']) {
    test(`${list} are paged, and a cursor that is none does no harm`, async () => {
      const of = await tenant();
      const steps = [emergency({ all: true })];
      for (const name of ['a', 'b', 'c']) {
        await of.make('/keys', { name, scopes: ['read'] });
        const email = `${name}@${of.projectId}.example`;
        if (list === 'users')
          await of.make('/users', { email, name, role: 'viewer', password: 'long enough it is' });
        await of.make('/groups', { name });
        await of.make('/device-types', { name });
        await of.make('/devices', { name });
        await of.make('/actions', { event_id: name, steps });
        await of.make('/links', { event_id: name });
        bodyOf(await of.api(`/actions/${name}/test`, { body: {} }), 200);
      }
      const api = list === 'projects' ? server().api : of.api;
      const whole = await listAll(api, `/${list}`);
      assert.ok(whole.length >= 3);
      assert.deepEqual(await listAll(api, `/${list}?`, 1), whole);
      for (const cursor of ['garbage', '%00', 'a'.repeat(500), encodeURIComponent('Ω≈ç')]) {
        const { status, body } = await api(`/${list}?cursor=${cursor}`);
        assert.ok(status === 200 || status === 400, `${cursor} ${status} ${JSON.stringify(body)}`);
      }
      assert.deepEqual(codeOf(await api(`/${list}?cursor=${'a'.repeat(501)}`)), [400, 'bad_request']);
    });
  }
});
