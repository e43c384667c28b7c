/** openapi.yaml is the contract: it says of the routes, codes and functions what the code says, no more and no less. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { load } from 'js-yaml';
import { alarmLevels } from '../src/domain/alarm/level.ts';
import { functionCatalogue } from '../src/domain/command/function-catalogue.ts';
import { logLevels } from '../src/domain/delivery/attempt.ts';

import { eventKinds } from '../src/domain/event/event.ts';
import { systemEventTypes } from '../src/domain/fact.ts';
import type { FaultCode } from '../src/domain/fault.ts';
import { filterSchema } from '../src/domain/webhook/filter.ts';
import { signatureSchemes } from '../src/domain/webhook/signature.ts';
import { createContract } from '../src/http/contract.ts';
import { statusOf } from '../src/http/fault.ts';
import { routes } from '../src/http/routes.ts';
import { makeDevice } from './support/fleet.ts';
import { bodyOf } from './support/management.ts';
import { request, startServer, type TestServer } from './support/server.ts';
import { type Received, reachReceivers, startReceiver } from './support/webhook-receiver.ts';

type Members = { [name: string]: unknown };
type Operation = {
  operationId: string;
  'x-scopes'?: string[];
  parameters?: { $ref?: string; name?: string; schema?: Members }[];
  requestBody?: { content: Members };
};

const root = join(import.meta.dirname, '..');
const text = readFileSync(join(root, 'openapi.yaml'), 'utf8');
/** Throws for what is no YAML, and for a name that stands twice. */
const document = load(text) as {
  info: { description: string };
  tags: { name: string }[];
  paths: { [path: string]: { [method: string]: Operation } };
  webhooks: { [name: string]: { post: Operation } };
  components: { schemas: { [name: string]: Members } } & { [kind: string]: Members };
};

/** Hung into Express beside the route table, in src/http/session.ts: they make the callers that the table asks for. */
const sessionRoutes = [
  ['post', '/api/v1/session'],
  ['delete', '/api/v1/session'],
];
/** What stands in Express outside of the management API, each in a file of its own. */
const doorRoutes = [
  'post /public-api/integration/webhooks',
  'get /public-api/integration/webhooks',
  'post /public-api/integration/webhooks/{event_id}',
  'get /l/{token}',
  'post /l/{token}',
  'put /devices/{id}/event',
  'post /devices/{id}/bulkData/{label}',
  'post /messages',
  'post /messages/{subtopic}',
  'put /homes/{homeId}/smartModules/{moduleId}/command',
  'post /things/{id}/webhooks',
  'get /things/{id}/webhooks',
  'get /groups/{id}/webhooks',
  'get /webhooks/{id}',
  'put /webhooks/{id}',
  'delete /webhooks',
  'patch /webhooks',
  'get /healthz',
  'get /readyz',
  'get /metrics',
  'get /docs',
  'get /client/fleethook.js',
  'get /client/{version}/fleethook.js',
  'get /openapi.yaml',
];
const methods = ['get', 'put', 'post', 'patch', 'delete', 'head', 'options', 'trace'];

const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item)
    .filter(([name]) => methods.includes(name))
    .map(([method, operation]) => ({ method, path, operation })),
);

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every object in the document with the pointer to it. */
function* walk(value: unknown, pointer = '#'): Generator<{ node: Members; pointer: string }> {
  if (isMembers(value)) yield { node: value, pointer };
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    yield* walk(member, `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
  }
}

function at(pointer: string): unknown {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>((node, part) => (isMembers(node) ? node[part] : undefined), document);
}

const ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: true }));
ajv.addSchema(document, 'openapi');

/** Why a value does not fit the schema at the pointer, null when it does. */
function misfit(pointer: string, value: unknown): string | null {
  const place = `openapi${encodeURI(pointer)}`;
  const validate = ajv.getSchema(place) ?? ajv.compile({ $ref: place });
  return validate(value) ? null : `${pointer}: ${ajv.errorsText(validate.errors)}`;
}

function documentedCodes(): (FaultCode | 'internal')[] {
  const codes = at('#/components/schemas/FaultCode/enum');
  assert.ok(Array.isArray(codes));
  return [...codes];
}

/** The rows of the Markdown tables in a text, cell by cell. */
function tableRows(markdown: unknown): string[][] {
  return String(markdown)
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[\s|:-]+$/.test(line))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

const quotedWords = (cell: string | undefined) =>
  [...(cell ?? '').matchAll(/`(\w+)`/g)].map((match) => match[1]);

suite('the document', () => {
  test('refers only to what is there, and holds nothing that nobody refers to', () => {
    const refs = new Set(
      [...walk(document)].flatMap(({ node }) => (typeof node.$ref === 'string' ? node.$ref : [])),
    );
    assert.deepEqual(
      [...refs].filter((ref) => at(ref) === undefined),
      [],
    );
    const { securitySchemes, ...components } = document.components;
    const unused = Object.entries(components)
      .flatMap(([kind, named]) => Object.keys(named).map((name) => `#/components/${kind}/${name}`))
      .filter((pointer) => !refs.has(pointer));
    assert.deepEqual(unused, []);
  });

  test('names every operation once', () => {
    const received = Object.values(document.webhooks).map(({ post }) => post.operationId);
    const names = [...operations.map(({ operation }) => operation.operationId), ...received];
    assert.deepEqual(
      names.filter((name, place) => !name || names.indexOf(name) !== place),
      [],
    );
  });

  test('tags nothing with a tag that it does not explain, and explains none in vain', () => {
    const used = [...walk(document)].flatMap(({ node }) => (node.operationId ? node.tags : []));
    const explained = document.tags.map(({ name }) => name);
    assert.deepEqual([...new Set(used)].sort(), explained.sort());
  });

  test('has examples that fit their schemas', () => {
    const wrong: string[] = [];
    const check = (pointer: string, example: unknown) => {
      const problem = misfit(pointer, example);
      if (problem !== null) wrong.push(problem);
    };
    let checked = 0;
    for (const { node, pointer } of walk(document)) {
      // Of a schema, then of a body; what stands inside an example is neither.
      const isInExample = /\/(?:examples|value)\//.test(pointer);
      if (isInExample) continue;
      if (Array.isArray(node.examples)) for (const example of node.examples) check(pointer, example);
      else if (isMembers(node.examples) && isMembers(node.schema)) {
        for (const example of Object.values(node.examples)) {
          if (isMembers(example)) check(`${pointer}/schema`, example.value);
        }
      } else continue;
      checked += 1;
    }
    assert.deepEqual(wrong, []);
    assert.ok(checked > 50, `only ${checked} examples were found`);
  });
});

suite('the document and the code agree', () => {
  test('on the management routes and their scopes', () => {
    const line = (method: string, path: string, scopes: readonly string[] | undefined) =>
      `${method} ${path} ${scopes ? [...scopes].sort().join() : 'x-scopes is missing'}`;
    const isSession = (method: string, path: string) =>
      sessionRoutes.some((known) => known[0] === method && known[1] === path);
    const documented = operations
      .filter(({ method, path }) => path.startsWith('/api/') && !isSession(method, path))
      .map(({ method, path, operation }) => line(method, path, operation['x-scopes']));
    const served = routes.map(({ method, path, scopes }) =>
      line(method, path.replace(/:(\w+)/g, '{$1}'), scopes),
    );
    assert.deepEqual(documented.sort(), served.sort());
    for (const [method = '', path = ''] of sessionRoutes) {
      assert.ok(document.paths[path]?.[method], `${method} ${path} is not documented`);
    }
  });

  test('on the routes outside of the management API, each of which is served', async () => {
    const outside = operations.filter(({ path }) => !path.startsWith('/api/'));
    assert.deepEqual(outside.map(({ method, path }) => `${method} ${path}`).sort(), doorRoutes.toSorted());
    await using server = await startServer();
    for (const { method, path } of outside) {
      const { servers = [{ url: '/' }] } = document.paths[path] as { servers?: { url: string }[] };
      for (const { url } of servers) {
        const filled = url.replace(/\/$/, '') + path.replace(/\{\w+\}/g, '1');
        const answer = await request(server.url + filled, { method: method.toUpperCase(), key: null });
        const seen = `${method} ${filled} ${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`;
        assert.ok(answer.status < 500, seen);
        assert.notEqual(answer.body?.detail, 'there is no such route', seen);
      }
    }
  });

  test('on the names that webhooks are about', () => {
    const listed = (name: string) => at(`#/components/schemas/${name}/enum`);
    assert.deepEqual(listed('EventKind'), eventKinds);
    assert.deepEqual(listed('SystemEventType'), systemEventTypes);
    assert.deepEqual(listed('SignatureScheme'), signatureSchemes);
    assert.deepEqual(listed('AlarmLevel'), alarmLevels);
    assert.deepEqual(listed('LogLevel'), logLevels);
    const filter = at('#/components/schemas/WebhookFilter/properties') as Members;
    assert.deepEqual(Object.keys(filter).sort(), Object.keys(filterSchema.shape).sort());

    const rows = tableRows(document.info.description);
    const row = (kind: string) => rows.find(([first]) => first === `\`${kind}\``);
    const types = [...(row('system')?.[1] ?? '').matchAll(/`([\w.]+)`/g)].map((match) => match[1]);
    assert.deepEqual(types, systemEventTypes);
    for (const name of [...(listed('DeliveryStatus') as string[]), ...eventKinds.slice(0, 5)]) {
      assert.ok(row(name), `${name} is not in the tables`);
    }
  });

  test('on the codes of faults', () => {
    const source = readFileSync(join(root, 'src/domain/fault.ts'), 'utf8');
    const [, union = ''] = /export type FaultCode =([^;]+);/.exec(source) ?? [];
    const codes = [...union.matchAll(/'(\w+)'/g)].map((match) => match[1]);
    assert.ok(codes.length > 20, 'the union was not found');
    assert.deepEqual(documentedCodes().sort(), [...codes, 'internal'].sort());
  });

  test('on the status of each code', () => {
    const rows = tableRows(document.info.description).filter(([status]) => /^\d{3}$/.test(status ?? ''));
    const documented = rows.flatMap(([status, codes]) =>
      quotedWords(codes).map((code) => `${code} ${status}`),
    );
    const served = documentedCodes().map((code) => `${code} ${statusOf(code)}`);
    assert.deepEqual(documented.sort(), served.sort());
  });

  test('on the functions, their params and kinds', () => {
    const [, ...rows] = tableRows(document.components.schemas.Step?.description);
    const documented = rows.map(([name, , params, kind]) => {
      const names = [...(params ?? '').matchAll(/`(\w+)\??`/g)].map((match) => match[1]);
      return { name: quotedWords(name)[0], names, kind };
    });
    const served = Object.entries(functionCatalogue).map(([name, { params, slot }]) => ({
      name,
      names: Object.keys(params.properties),
      kind: slot === null ? 'pulse' : 'state',
    }));
    assert.deepEqual(
      documented.map(({ name, kind }) => `${name} ${kind}`).sort(),
      served.map(({ name, kind }) => `${name} ${kind}`).sort(),
    );
    for (const { name, names } of served) {
      const row = documented.find((known) => known.name === name);
      assert.deepEqual(
        names.filter((param) => !row?.names.includes(param)),
        [],
        `${name} has params that are not described`,
      );
    }
  });
});

/** What the document says of a request that a receiver got: its headers and its body, here as JSON. */
function requireDescribed(name: string, { headers, text: body }: Received): void {
  const operation = document.webhooks[name]?.post;
  assert.ok(operation, `there is no webhook ${name}`);
  const described = (operation.parameters ?? []).map((parameter) => {
    const pointer = parameter.$ref ?? '';
    return (pointer ? at(pointer) : parameter) as { name: string; required?: boolean; schema: Members };
  });
  for (const { name: header, required, schema } of described) {
    const value = headers[header.toLowerCase()];
    assert.ok(value !== undefined || !required, `${name}: the header ${header} is missing`);
    if (value !== undefined) assert.ok(ajv.validate(schema, value), `${name}: ${header}: ${value}`);
  }
  const known = described.map((parameter) => parameter.name.toLowerCase());
  const ours = Object.keys(headers).filter((header) => /^(webhook-|x-mode-|biotz-)/.test(header));
  assert.deepEqual(
    ours.filter((header) => !known.includes(header)),
    [],
  );
  const type = headers['content-type'] ?? '';
  assert.ok(Object.hasOwn(operation.requestBody?.content ?? {}, type), `${name}: ${type}`);
  if (type !== 'application/json') return;
  const place = `#/webhooks/${name}/post/requestBody/content/application~1json/schema`;
  assert.equal(misfit(place, JSON.parse(body)), null);
}

/** A device of a type and a group, and a rule that any message of it meets. */
async function makeSpeaker(server: TestServer) {
  const make = async (path: string, body: object) => bodyOf(await server.api(path, { body }), 201);
  const group = await make('/groups', { name: 'Hall' });
  await make('/device-types', { id: 'thermometer', name: 'Thermometer' });
  const device = await makeDevice(server, { name: 'sensor', group_id: group.id, type: 'thermometer' });
  const when = { path: 'celsius', op: 'exists' };
  const clear_when = { path: 'cold', op: 'exists' };
  const of = { device_type: 'thermometer', message_type: 'reading', when, clear_when, level: 'info' };
  await make('/alarm-rules', { name: 'hot', ...of });
  return {
    make,
    group,
    device,
    asDevice: { key: null, headers: { authorization: `Thing ${device.token}` } },
  };
}

suite('the document and what goes over the wire agree', () => {
  test('on what receivers get', async () => {
    await using receiver = await startReceiver();
    await using server = await startServer({ env: reachReceivers });
    const { make, group, device, asDevice } = await makeSpeaker(server);
    for (const kind of eventKinds.slice(0, 5)) {
      for (const signature of ['standard', 'mode', 'none']) {
        const url = `${receiver.url}/${kind}/${signature}`;
        await make('/webhooks', { name: `${kind} ${signature}`, url, signature, filter: { kinds: [kind] } });
      }
    }
    const command_url = `${receiver.url}/command/standard`;
    await make('/webhooks', {
      name: 'x',
      url: receiver.url,
      module_id: 'lights',
      command_url,
      enabled: true,
    });

    const body = { eventType: 'motion', eventData: { door: 'north' } };
    const say = async (method: string, path: string, call: object, status: number) =>
      bodyOf(await request(server.url + path, { method, ...call }), status);
    await say('PUT', `/devices/${device.id}/event`, { ...asDevice, body }, 204);
    await say('POST', '/messages/reading', { ...asDevice, body: { celsius: 21.5 } }, 202);
    await say('POST', `/devices/${device.id}/bulkData/photo`, { ...asDevice, raw: 'bytes' }, 202);
    await say('PUT', `/homes/${group.id}/smartModules/lights/command`, { body: { action: 'dim' } }, 204);
    const connected = await server.device(device.token);
    connected.disconnect();

    // An event, a message, bytes, an alarm, a device that comes and goes; each in three schemes. The last webhook
    // gets its command, and what the device says as well.
    const got = await receiver.got(6 * 3 + 1 + 3);
    const described = got.filter(({ url }) => url !== '/');
    for (const each of described) requireDescribed(each.url.split('/')[1] ?? '', each);
    const kinds = new Set(described.map(({ url }) => url.split('/')[1]));
    assert.deepEqual([...kinds].sort(), Object.keys(document.webhooks).sort());
  });

  test('on the answers about webhooks, deliveries, events and alarms', async () => {
    // The server holds each against the document itself: one that does not fit is a 500.
    await using receiver = await startReceiver();
    await using server = await startServer({ env: reachReceivers });
    const { make, asDevice, device } = await makeSpeaker(server);
    const ask = async (method: string, path: string, body?: object) =>
      bodyOf(await server.api(path, { method, body }), method === 'DELETE' ? 204 : 200);
    const get = (path: string) => ask('GET', path);
    const first = async (path: string) => (await get(path)).items[0];

    const filter = { kinds: ['message', 'alarm'], where: { not_all: [{ path: 'no', op: 'exists' }] } };
    const given = { url: receiver.url, filter, command_url: receiver.url, module_id: 'm-1', ordered: true };
    const webhook = `/webhooks/${(await make('/webhooks', { name: 'all', ...given })).id}`;
    const said = { ...asDevice, body: [{ celsius: 1 }] };
    bodyOf(await request(`${server.url}/messages/reading`, said), 202);
    const event = { method: 'PUT', body: { eventType: 'spoken-for' } };
    bodyOf(await request(`${server.url}/devices/${device.id}/event`, event), 204);
    await receiver.got(2);

    for (const query of ['', '?refused=false&from=2020-01-01T00:00:00Z', '?type=reading', '?device_id=1'])
      await get(`/events${query}`);
    assert.deepEqual((await get(`/events/${(await first('/events?kind=message')).id}`)).data, said.body);
    assert.deepEqual(await get(`/events/${(await first('/events?kind=message')).id}/body`), said.body);
    assert.equal((await first('/events?kind=event')).key.id, 'environment');
    const alarm = `/alarms/${(await first('/alarms?active=true&noted=false&level=info')).id}`;
    await ask('POST', `${alarm}/note`, { note: 'seen' });
    await ask('POST', `${alarm}/clear`);
    assert.equal((await get(alarm)).active, false);
    const rule = `/alarm-rules/${(await first('/alarm-rules')).id}`;
    await ask('PATCH', rule, {
      clear_when: { any: [{ path: 'a[0].b', op: '<>', value: null }] },
      actions: [],
    });
    await ask('PATCH', rule, { clear_when: null });
    await ask('DELETE', rule);

    await ask('POST', `${webhook}/test`);
    await ask('POST', `${webhook}/test`, { kind: 'command', data: { action: 'x' }, device_id: device.id });
    const delivery = `/deliveries/${(await first(`${webhook}/deliveries`)).id}`;
    for (const what of ['replay', 'cancel']) await ask('POST', `${delivery}/${what}`);
    await get(delivery);
    await get('/deliveries?status=delivered');
    await get(`${webhook}/logs?level=INFO`);
    await ask('POST', `${webhook}/replay`, { from: '2020-01-01T00:00:00+01:00', delivered: false });
    await ask('POST', `${webhook}/rotate-secret`, { overlap_seconds: 60 });
    assert.ok((await get(`${webhook}/secret`)).old_secret);
    await ask('PATCH', webhook, {
      signature: 'none',
      module_id: null,
      body: '{{ eventType }}',
      enabled: false,
    });
    await get('/webhooks?q=all&enabled=false');
    await ask('DELETE', webhook);
  });

  test('on the answers of the compatible paths and of devices over HTTP', async () => {
    const contract = createContract(join(root, 'openapi.yaml'));
    await using server = await startServer();
    const { group, device, asDevice } = await makeSpeaker(server);
    const ask = async (
      method: string,
      path: string,
      status: number,
      call: object = {},
      ids: Members = {},
    ) => {
      const filled = path.replace(/\{(\w+)\}/g, (_all, name) => String(ids[name]));
      const answer = await request(server.url + filled, { method: method.toUpperCase(), ...call });
      const documented = path.replace(/^\/svcwebhooks|\?.*$/g, '');
      const sent = { method, path: documented, status, body: bodyOf(answer, status) || undefined };
      contract.checkAnswer(sent);
      return answer.body;
    };
    const url = 'https://hooks.example.com/x';
    const thing = { id: device.id };
    const list = [
      { name: 'one', url, headers: { 'x-key': 'k' }, metadata: { a: 1 } },
      { name: 'two', url },
    ];
    const path = '/svcwebhooks/things/{id}/webhooks';
    const { webhooks } = await ask('post', path, 201, { body: list }, thing);
    const seed = { body: [{ name: 'three', url }], headers: { 'accept-version': 'seed' } };
    const [bare] = await ask('post', '/things/{id}/webhooks', 201, seed, thing);
    await ask('get', `${path}?name=O&limit=2`, 200, {}, thing);
    await ask('get', '/groups/{id}/webhooks', 200, {}, { id: group.id });
    await ask('get', '/webhooks/{id}', 200, {}, { id: webhooks[0].id });
    await ask('put', '/svcwebhooks/webhooks/{id}', 200, { body: { name: 'x', url } }, { id: webhooks[0].id });
    await ask('delete', '/webhooks', 204, { body: { webhook_ids: [webhooks[0].id, bare.id] } });
    await ask('patch', '/svcwebhooks/webhooks', 204, { body: { webhook_ids: [webhooks[1].id] } });
    await ask('get', '/webhooks/{id}', 404, {}, { id: webhooks[0].id });
    await ask('get', `${path}?limit=0`, 400, {}, thing);
    await ask('get', path, 401, { key: null }, thing);
    await ask('get', path, 403, {}, { id: 999 });
    await ask('post', path, 400, { body: [] }, thing);
    await ask('post', path, 415, { raw: '[]', headers: { 'content-type': 'text/plain' } }, thing);

    const module = '/homes/{homeId}/smartModules/{moduleId}/command';
    const lights = { homeId: group.id, moduleId: 'lights' };
    await ask('put', module, 404, { body: { action: 'x' } }, lights);
    await ask('put', module, 401, { key: null, body: { action: 'x' } }, lights);
    const commanded = { name: 'x', url, module_id: 'lights', command_url: url };
    bodyOf(await server.api('/webhooks', { body: commanded }), 201);
    await ask('put', module, 403, { body: { action: 1 } }, lights);
    await ask('put', module, 204, { body: { action: 'x' }, headers: { 'x-project-id': '1' } }, lights);

    const event = '/devices/{id}/event';
    await ask('put', event, 204, { ...asDevice, body: { eventType: 'x', more: 1 } }, thing);
    await ask('put', event, 400, { ...asDevice, body: { eventType: '' } }, thing);
    await ask('put', event, 401, { key: null, body: {} }, thing);
    await ask('put', event, 403, { ...asDevice, body: {} }, { id: 999 });
    await ask('put', event, 404, { body: {} }, { id: 999 });
    await ask(
      'post',
      '/devices/{id}/bulkData/{label}',
      202,
      { ...asDevice, raw: 'x' },
      { ...thing, label: 'a' },
    );
    await ask('post', '/messages/{subtopic}', 202, { ...asDevice, body: {} }, { subtopic: 'a/b' });
    await ask('post', '/messages', 202, { ...asDevice, raw: 'x' });
    const unknown = { 'content-type': 'text/plain; charset=x-klingon' };
    await ask('post', '/messages', 415, {
      raw: 'x',
      key: null,
      headers: { ...asDevice.headers, ...unknown },
    });
    const large = new Uint8Array(16 * 1_024 * 1_024 + 1);
    await ask(
      'post',
      '/devices/{id}/bulkData/{label}',
      413,
      { ...asDevice, raw: large },
      { ...thing, label: 'a' },
    );
  });
});

suite('the page', () => {
  test('is served with all it needs, and without inline script', async () => {
    await using server = await startServer();
    for (const path of ['/docs', '/docs/']) {
      const address = new URL(path, server.url);
      const { status, headers, body } = await request(address.href, { key: null });
      assert.equal(status, 200);
      assert.match(headers.get('content-type') ?? '', /^text\/html/);
      assert.deepEqual(
        [...body.matchAll(/<script(?![^>]*\bsrc=)/g)],
        [],
        'a script without src would be stopped by the content security policy',
      );
      const assets = [...body.matchAll(/\b(?:src|href)="([^"]+)"/g)].map(
        (match) => new URL(match[1], address),
      );
      assert.ok(assets.length >= 5);
      for (const asset of assets) {
        assert.equal(asset.origin, address.origin);
        const answer = await request(asset.href, { key: null });
        assert.equal(answer.status, 200, asset.pathname);
        assert.ok(answer.headers.get('cache-control'), asset.pathname);
      }
    }
    const contract = await request(`${server.url}/openapi.yaml`, { key: null });
    assert.match(contract.headers.get('content-type') ?? '', /^application\/yaml/);
    assert.equal(contract.body, text);
  });

  test("does not serve the package's own start page", async () => {
    await using server = await startServer();
    for (const name of ['index.html', 'swagger-initializer.js', 'package.json', '..%2fpackage.json']) {
      assert.equal((await request(`${server.url}/docs/${name}`, { key: null })).status, 404, name);
    }
  });
});
