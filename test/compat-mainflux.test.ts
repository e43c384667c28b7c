import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemCaller } from '../src/domain/access/caller.ts';
import { listDeliveries } from '../src/domain/delivery/delivery.ts';
import { createWebhook } from '../src/domain/webhook/webhook.ts';
import { selectProjectWebhooks } from '../src/store/webhook.ts';
import { type MadeDevice, makeDevice, makeGroup } from './support/fleet.ts';
import { bodyOf, makeKey, makeTenant, oneServer, type Tenant } from './support/management.ts';
import { type Answer, adminKey, type Call, onEveryDatabase, request } from './support/server.ts';
import { reachReceivers, startReceiver } from './support/webhook-receiver.ts';

const caller = systemCaller(1, 'test');
const url = 'https://ingest.example.com/mainflux';
const pipeline = { name: 'Data pipeline', url, headers: { 'X-Api-Key': '<api_key>' } };
const prefixes = ['/svcwebhooks', ''];

/** Mainflux answers every refusal with this and nothing else. */
function assertRefused(answer: Answer, status: number, what: string): void {
  assert.equal(answer.status, status, `${what}: ${JSON.stringify(answer.body)}`);
  assert.deepEqual(Object.keys(answer.body), ['error'], what);
  assert.equal(typeof answer.body.error, 'string', what);
}

onEveryDatabase('webhooks of Mainflux', (start) => {
  const server = oneServer((options) => start({ ...options, env: { ...reachReceivers } }));
  let made = 0;
  const newThing = (extra: object = {}): Promise<MadeDevice> => {
    made += 1;
    return makeDevice(server(), { name: `thing ${made}`, ...extra });
  };
  const call = (path: string, how: Call = {}) => request(server().url + path, how);
  const create = (thing: number | string, body: unknown, how: Call = {}, prefix = '/svcwebhooks') =>
    call(`${prefix}/things/${thing}/webhooks`, { body, ...how });
  const createAll = async (thing: number, body: unknown[]) =>
    bodyOf(await create(thing, body), 201).webhooks as { id: string; name: string }[];
  const list = async (thing: number, query = '') =>
    bodyOf(await call(`/svcwebhooks/things/${thing}/webhooks${query}`), 200);
  const names = (page: { webhooks: { name: string }[] }) => page.webhooks.map(({ name }) => name);
  const numbered = (count: number) =>
    Array.from({ length: count }, (_, place) => ({ name: `w${String(place).padStart(2, '0')}`, url }));

  for (const prefix of prefixes) {
    test(`the lines of the seed work ${prefix ? `below ${prefix}` : 'without a prefix'}`, async () => {
      const group_id = await makeGroup(server(), `group ${prefix}`);
      const thing = await newThing({ group_id });
      const made = await create(thing.id, [pipeline], {}, prefix);
      assert.equal(made.status, 201);
      assert.equal(made.headers.get('cache-control'), 'no-store');
      const { id } = made.body.webhooks[0];
      const webhook = { id, group_id, thing_id: thing.id, ...pipeline };
      assert.deepEqual(made.body, { webhooks: [webhook] });
      assert.equal(typeof id, 'string');

      const page = { total: 1, offset: 0, limit: 10, order: 'id', dir: 'desc', webhooks: [webhook] };
      assert.deepEqual(bodyOf(await call(`${prefix}/things/${thing.id}/webhooks`), 200), page);
      assert.deepEqual(bodyOf(await call(`${prefix}/groups/${group_id}/webhooks`), 200), page);
      assert.deepEqual(bodyOf(await call(`${prefix}/webhooks/${id}`), 200), webhook);

      const changed = { ...pipeline, url: 'https://ingest.example.com/mainflux-v2' };
      const put = await call(`${prefix}/webhooks/${id}`, { method: 'PUT', body: changed });
      assert.deepEqual([put.status, put.body], [200, '']);
      assert.deepEqual(bodyOf(await call(`${prefix}/webhooks/${id}`), 200), { ...webhook, ...changed });

      const removed = await call(`${prefix}/webhooks`, { method: 'DELETE', body: { webhook_ids: [id] } });
      assert.deepEqual([removed.status, removed.body], [204, '']);
      assertRefused(await call(`${prefix}/webhooks/${id}`), 404, 'a webhook that is gone');

      const bare = await create(thing.id, [pipeline], { headers: { 'accept-version': 'seed' } }, prefix);
      assert.equal(bare.status, 201);
      const bareId: string = bare.body[0].id;
      assert.deepEqual(bare.body, [{ ...webhook, id: bareId }], 'the bare list of the seed');
      const body = { webhook_ids: [bareId] };
      assert.equal((await call(`${prefix}/webhooks`, { method: 'PATCH', body })).status, 204);
      assert.equal((await list(thing.id)).total, 0);
    });
  }

  test('a list is made whole or not at all', async () => {
    const [thing, other] = [await newThing(), await newThing()];
    const [first] = await createAll(thing.id, [{ name: 'a', url, id: 'chosen', headers: {}, metadata: {} }]);
    assert.notEqual(first?.id, 'chosen');
    assert.deepEqual(Object.keys(first ?? {}), ['id', 'group_id', 'thing_id', 'name', 'url']);
    const batch = [
      { name: 'b', url, metadata: { a: 1 } },
      { name: 'c', url },
    ];
    assertRefused(await create(thing.id, [...batch, { name: 'a', url }]), 409, 'a name that is taken');
    assertRefused(await create(thing.id, [...batch, { name: 'b', url }]), 409, 'a name twice');
    assertRefused(await create(thing.id, [...batch, { name: 'a ', url }]), 409, 'a name with a space behind');
    assertRefused(await create(thing.id, [...batch, { name: 'd', url: 'ftp://x' }]), 400, 'a bad one');
    assert.deepEqual(names(await list(thing.id)), ['a']);
    assert.deepEqual(names({ webhooks: await createAll(thing.id, batch) }), ['b', 'c'], 'in their order');
    assert.equal((await createAll(other.id, [{ name: 'a', url }, ...batch])).length, 3);
    await createAll(other.id, [{ name: 'A', url }]);
  });

  test('input that is not sound is refused', async () => {
    const thing = await newThing();
    const webhook = { name: 'w', url };
    const bad: [string, unknown][] = [
      ['no list', webhook],
      ['the object of its own OpenAPI', { webhooks: [webhook] }],
      ['an empty list', []],
      ['no name', [{ url }]],
      ['an empty name', [{ ...webhook, name: '' }]],
      ['a long name', [{ ...webhook, name: 'x'.repeat(255) }]],
      ['a name that is none', [{ ...webhook, name: 7 }]],
      ['no url', [{ name: 'w' }]],
      ['an empty url', [{ name: 'w', url: '' }]],
      ['no http', [{ name: 'w', url: 'ftp://ingest.example.com' }]],
      ['half a url', [{ name: 'w', url: 'ingest.example.com/x' }]],
      ['headers that are none', [{ ...webhook, headers: { a: 1 } }]],
      ['a header with a line break', [{ ...webhook, headers: { a: 'x\r\ny: z' } }]],
      ['a broken template', [{ ...webhook, headers: { a: '{{ x' } }]],
      ['metadata that is none', [{ ...webhook, metadata: [1] }]],
    ];
    for (const [what, body] of bad) assertRefused(await create(thing.id, body), 400, what);
    const raw = (text: string, type = 'application/json') =>
      create(thing.id, undefined, { method: 'POST', raw: text, headers: { 'content-type': type } });
    assertRefused(await raw('[{"name":'), 400, 'half a JSON');
    assertRefused(await raw(''), 400, 'nothing');
    assertRefused(await raw(`${'['.repeat(65)}${']'.repeat(65)}`), 400, 'deep JSON');
    assertRefused(await raw(JSON.stringify([webhook]), 'text/plain'), 415, 'text');
    assertRefused(await raw(JSON.stringify([{ ...webhook, x: 'y'.repeat(1_100_000) }])), 413, 'a huge list');
    assert.equal((await list(thing.id)).total, 0);
    const type = { 'content-type': 'application/json; charset=utf-8' };
    const longest = await create(thing.id, [{ name: 'x'.repeat(254), url }], { headers: type });
    assert.equal(longest.status, 201);
  });

  test('a page is what the query asks for', async () => {
    const thing = await newThing();
    const ids = (await createAll(thing.id, numbered(12))).map(({ id }) => id).sort();
    const of = (page: { webhooks: { id: string }[] }) => page.webhooks.map(({ id }) => id);
    const all = [...ids].reverse();
    const first = await list(thing.id);
    assert.deepEqual(of(first), all.slice(0, 10), 'the newest first, ten of them');
    assert.deepEqual([first.total, first.offset, first.limit], [12, 0, 10]);
    const second = await list(thing.id, '?offset=10');
    assert.deepEqual([second.total, second.offset, second.limit], [12, 10, 10]);
    assert.deepEqual(of(second), all.slice(10));
    assert.deepEqual(of(await list(thing.id, '?offset=3&limit=4')), all.slice(3, 7));
    assert.deepEqual(of(await list(thing.id, '?limit=200&dir=asc')), ids);
    assert.deepEqual(of(await list(thing.id, '?offset=12')), []);
    const byName = await list(thing.id, '?order=name&dir=asc&limit=2&offset=1');
    assert.deepEqual([names(byName), byName.order, byName.dir], [['w01', 'w02'], 'name', 'asc']);
    assert.deepEqual(names(await list(thing.id, '?order=name&limit=2')), ['w11', 'w10']);
    assert.equal(
      (await list(thing.id, '?unknown=1&unknown=2&level=x')).total,
      12,
      'the unknown is passed over',
    );
    for (const query of [
      'limit=0',
      'limit=-1',
      'limit=201',
      'limit=x',
      'limit=',
      'limit=1.5',
      'offset=-1',
      'offset=x',
      'order=url',
      'dir=up',
      'metadata=x',
      'metadata=7',
      ...['offset=1&offset=1', 'limit=1&limit=2', 'name=a&name=b', 'url=a&url=b', 'dir=asc&dir=asc'],
    ])
      assertRefused(await call(`/svcwebhooks/things/${thing.id}/webhooks?${query}`), 400, query);
  });

  test('a search is by parts of name and URL, whatever their case, and by metadata', async () => {
    const thing = await newThing();
    await createAll(thing.id, [
      {
        name: 'North Gate',
        url: 'https://one.example.com/A',
        metadata: { site: { floor: 1 }, tags: ['x', 'y'] },
      },
      { name: 'south gate', url: 'https://two.example.com/b', metadata: { site: { floor: 2 }, n: null } },
      { name: '100%_sure', url: 'https://two.example.com/c' },
    ]);
    const found = async (query: Record<string, string>) =>
      names(await list(thing.id, `?order=name&dir=asc&${new URLSearchParams(query)}`));
    const searches: [Record<string, string>, string[]][] = [
      [{ name: 'GATE' }, ['North Gate', 'south gate']],
      [{ name: 'h g', url: 'TWO' }, ['south gate']],
      [{ name: '%' }, ['100%_sure']],
      [{ name: 'n_r' }, []],
      [{ url: 'EXAMPLE.COM/a' }, ['North Gate']],
      [{ name: '' }, ['100%_sure', 'North Gate', 'south gate']],
      [{ metadata: '{}' }, ['100%_sure', 'North Gate', 'south gate']],
      [{ metadata: '{"site":{"floor":1}}' }, ['North Gate']],
      [{ metadata: '{"site":{}}' }, ['North Gate', 'south gate']],
      [{ metadata: '{"tags":["y"]}' }, ['North Gate']],
      [{ metadata: '{"tags":["y","z"]}' }, []],
      [{ metadata: '{"n":null}' }, ['south gate']],
      [{ metadata: '{"site":{"floor":"1"}}' }, []],
    ];
    for (const [query, expected] of searches)
      assert.deepEqual(await found(query), expected, JSON.stringify(query));
    const page = await list(thing.id, '?name=gate&limit=1');
    assert.deepEqual([page.total, page.name, page.webhooks.length], [2, 'gate', 1]);
  });

  test('a group shows the webhooks of its things, those below it too', async () => {
    const top = await makeGroup(server(), 'top');
    const below = await makeGroup(server(), 'below', top);
    const [one, two, outside] = [
      await newThing({ group_id: top }),
      await newThing({ group_id: below }),
      await newThing(),
    ];
    for (const { id } of [one, two, outside]) await createAll(id, [{ name: 'same', url }]);
    const things = async (group: number, query = '') =>
      bodyOf(await call(`/groups/${group}/webhooks?order=name&dir=asc${query}`), 200).webhooks.map(
        (webhook: { thing_id: number; group_id: number }) => [webhook.thing_id, webhook.group_id],
      );
    assert.deepEqual(await things(top), [
      [one.id, top],
      [two.id, below],
    ]);
    assert.deepEqual(await things(top, '&limit=1&offset=1'), [[two.id, below]]);
    assert.deepEqual(await things(below), [[two.id, below]]);
    assertRefused(await call(`/groups/${top}/webhooks?limit=0`), 400, 'a bad query');
    assertRefused(await call('/groups/999999999/webhooks'), 403, 'no group');
    assertRefused(await call('/groups/x/webhooks'), 403, 'no number');
  });

  test('a PUT replaces everything; what it leaves out is empty then', async () => {
    const thing = await newThing();
    const [one, two] = await createAll(thing.id, [
      { ...pipeline, metadata: { a: 1 } },
      { name: 'other', url },
    ]);
    const put = (id: string | undefined, body: unknown) => call(`/webhooks/${id}`, { method: 'PUT', body });
    const get = async (id: string | undefined) => bodyOf(await call(`/webhooks/${id}`), 200);
    const place = { id: one?.id, group_id: null, thing_id: thing.id };
    assert.equal((await put(one?.id, { name: 'new', url, metadata: { b: 2 } })).status, 200);
    assert.deepEqual(await get(one?.id), { ...place, name: 'new', url, metadata: { b: 2 } });
    assert.equal((await put(one?.id, { url })).status, 200, 'without a name');
    assert.deepEqual(await get(one?.id), { ...place, name: '', url });
    assertRefused(await put(one?.id, { name: 'other', url }), 409, 'a name that is taken');
    assertRefused(await put(one?.id, { name: 'no url' }), 400, 'no url');
    assertRefused(await put(one?.id, { name: 'x'.repeat(255), url }), 400, 'a long name');
    assertRefused(await put(one?.id, [{ name: 'a list', url }]), 400, 'a list');
    assertRefused(await put('nothing', { name: 'x', url }), 404, 'no webhook');
    const text = { method: 'PUT', raw: '{}', headers: { 'content-type': 'text/plain' } };
    assertRefused(await call(`/webhooks/${one?.id}`, text), 415, 'text');
    assert.deepEqual((await get(two?.id)).name, 'other');
  });

  test('a removal takes all of them or none', async () => {
    const thing = await newThing();
    const ids = (await createAll(thing.id, numbered(4))).map(({ id }) => id);
    const remove = (body: unknown, method = 'DELETE') => call('/svcwebhooks/webhooks', { method, body });
    for (const method of ['DELETE', 'PATCH']) {
      assertRefused(await remove({ webhook_ids: [ids[0], 'nothing'] }, method), 404, 'one is not there');
      assertRefused(await remove({ webhook_ids: [] }, method), 400, 'an empty list');
      assertRefused(await remove({ webhook_ids: [''] }, method), 400, 'an empty id');
      assertRefused(await remove({}, method), 400, 'no list');
      const text = { method, raw: '{}', headers: { 'content-type': 'text/plain' } };
      assertRefused(await call('/webhooks', text), 415, 'text');
    }
    assert.equal((await list(thing.id)).total, 4);
    assert.equal((await remove({ webhook_ids: [ids[0], ids[1], ids[0]] })).status, 204);
    assert.equal((await remove({ webhook_ids: [ids[2]] }, 'PATCH')).status, 204);
    assert.deepEqual(names(await list(thing.id)), ['w03']);
  });

  test('reading needs one scope, writing another, and nobody sees into another project', async () => {
    const group = await makeGroup(server(), 'guarded');
    const thing = await newThing({ group_id: group });
    const [webhook] = await createAll(thing.id, [pipeline]);
    const id = webhook?.id;
    const reads: string[] = [`/things/${thing.id}/webhooks`, `/groups/${group}/webhooks`, `/webhooks/${id}`];
    const writes: [string, string, unknown][] = [
      ['POST', `/things/${thing.id}/webhooks`, [{ name: 'x', url }]],
      ['PUT', `/webhooks/${id}`, { name: 'x', url }],
      ['DELETE', '/webhooks', { webhook_ids: [id] }],
      ['PATCH', '/webhooks', { webhook_ids: [id] }],
    ];
    const every = async (key: string | null, expected: (path: string, isWrite: boolean) => number) => {
      for (const path of reads) {
        const answer = await call(path, { key });
        const status = expected(path, false);
        if (status < 400) assert.equal(answer.status, status, path);
        else assertRefused(answer, status, path);
      }
      for (const [method, path, body] of writes)
        assertRefused(await call(path, { method, body, key }), expected(path, true), `${method} ${path}`);
    };
    await every(null, () => 401);
    await every('fhk_x', () => 401);
    assert.equal((await call(reads[0] ?? '', { key: null })).headers.get('www-authenticate'), 'Bearer');
    const raw = { key: null, headers: { authorization: adminKey } };
    assertRefused(await call(reads[0] ?? '', raw), 401, 'a key without its scheme');
    const scopes = ['publish', 'trigger', 'command'];
    await every((await makeKey(server(), { scopes })).key, () => 403);
    await every((await makeKey(server(), { scopes: ['read'] })).key, (_path, isWrite) =>
      isWrite ? 403 : 200,
    );
    const tenant: Tenant = await makeTenant(server(), 'other project', ['manage']);
    await every(tenant.key, (path) => (path.startsWith('/webhooks') ? 404 : 403));
    for (const nobody of ['999999999', 'x', '0', '-1']) {
      assertRefused(await create(nobody, [pipeline]), 403, `thing ${nobody}`);
      assertRefused(await call(`/things/${nobody}/webhooks`), 403, `thing ${nobody}`);
    }
    assert.deepEqual(names(await list(thing.id)), [pipeline.name]);
  });

  test('the messages of the thing go to each of its webhooks as they came, and no others', async () => {
    await using receiver = await startReceiver();
    const [thing, other] = [await newThing(), await newThing()];
    const webhooks = await createAll(thing.id, [
      {
        name: 'one',
        url: `${receiver.url}/one?x=1`,
        headers: { 'X-Api-Key': 'k1', Authorization: 'Bearer t' },
      },
      { name: 'two', url: `${receiver.url}/two`, headers: { 'content-type': 'application/vnd.x+json' } },
    ]);
    await createAll(other.id, [{ name: 'other', url: `${receiver.url}/other` }]);
    const publish = (device: MadeDevice, raw: string | Uint8Array, path = '') =>
      call(`/messages${path}`, {
        key: null,
        raw,
        headers: { authorization: `Thing ${device.token}`, 'content-type': 'application/json' },
      });
    const raw = ' {"temperature": 21.50,\t"id":12345678901234567890}\n';
    assert.equal((await publish(thing, raw)).status, 202);
    await receiver.got(2);
    const at = (path: string) => receiver.received.filter((request) => request.url.startsWith(path));
    const [one] = at('/one');
    const [two] = at('/two');
    assert.ok(one && two);
    assert.equal(one.url, '/one?x=1');
    assert.deepEqual([one.text, two.text], [raw, raw]);
    assert.deepEqual(
      [one.headers['content-type'], two.headers['content-type']],
      ['application/json', 'application/vnd.x+json'],
    );
    assert.deepEqual([one.headers['x-api-key'], one.headers.authorization], ['k1', 'Bearer t']);
    assert.equal(two.headers['x-api-key'], undefined);
    for (const { headers } of receiver.received)
      assert.deepEqual(
        Object.keys(headers).filter((name) => /signature|x-mode|timestamp/.test(name)),
        [],
      );

    const event = { key: thing.token, method: 'PUT', body: { eventType: 'x' } };
    assert.equal((await call(`/devices/${thing.id}/event`, event)).status, 204);
    const bulk = { key: thing.token, raw: 'bytes' };
    assert.equal((await call(`/devices/${thing.id}/bulkData/x`, bulk)).status, 202);
    assert.equal((await publish(other, '"other"')).status, 202);
    await receiver.got(3);
    assert.equal((await publish(thing, '"last"', '/sub/topic')).status, 202);
    await receiver.got(5);
    const texts = (path: string) => at(path).map(({ text }) => text);
    assert.deepEqual(texts('/one'), [raw, '"last"']);
    assert.deepEqual(texts('/two'), [raw, '"last"']);
    assert.deepEqual(texts('/other'), ['"other"']);
    for (const { id } of webhooks) {
      const { items } = await listDeliveries(server().ctx, caller, {}, id);
      assert.deepEqual(
        items.map((delivery) => delivery.event.kind),
        ['message', 'message'],
        'nothing to come',
      );
    }
  });

  test('webhooks end with their thing, and those of the project are out of reach', async () => {
    const [thing, other] = [await newThing(), await newThing()];
    const gone = await createAll(thing.id, numbered(3));
    const [stays] = await createAll(other.id, [{ name: 'stays', url }]);
    const own = await createWebhook(server().ctx, caller, { name: 'own', url });
    assert.equal((await server().api(`/devices/${thing.id}`, { method: 'DELETE' })).status, 204);
    for (const { id } of gone) assertRefused(await call(`/webhooks/${id}`), 404, id);
    assertRefused(await call(`/things/${thing.id}/webhooks`), 403, 'a thing that is gone');
    assert.equal((await call(`/webhooks/${stays?.id}`)).status, 200);
    for (const [method, path, body] of [
      ['GET', `/webhooks/${own.id}`, undefined],
      ['PUT', `/webhooks/${own.id}`, { name: 'x', url }],
      ['DELETE', '/webhooks', { webhook_ids: [own.id] }],
    ] as const)
      assertRefused(await call(path, { method, body }), 404, `${method} of one that is no thing's`);
    const left = (await selectProjectWebhooks(server().ctx.db, 1)).map(({ id }) => id);
    assert.ok(left.includes(own.id));
    assert.ok(gone.every(({ id }) => !left.includes(id)));
  });
});
