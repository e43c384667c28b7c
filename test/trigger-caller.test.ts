/** Who calls a trigger and how: with which key, meaning it or not, and in which form they want to be answered. */
import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import undici from 'undici';
import { reasonNotToFire } from '../src/http/preview.ts';
import { makeAction, makeStep, makeTriggerKey } from './support/fleet.ts';
import { oneServer } from './support/management.ts';
import { onEveryDatabase, startServer } from './support/server.ts';

const path = '/public-api/integration/webhooks';
const picture = 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8';
const page = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8';

onEveryDatabase('callers of triggers', (start) => {
  const server = oneServer(start, { env: { CORS_ORIGINS: 'https://intranet.example' } });
  let key = '';
  /** Not by fetch, which sends headers of its own. */
  const open = async (suffix: string, headers: Record<string, string | string[]> = {}, method = 'GET') => {
    const answer = await undici.request(server().url + path + suffix, { headers, method: method as 'GET' });
    const text = await answer.body.text();
    const type = String(answer.headers['content-type'] ?? '');
    return { status: answer.statusCode, type, text, headers: answer.headers };
  };
  const count = async (event_id: string, status: string) =>
    (await server().api(`/triggers?event_id=${event_id}&status=${status}&limit=200`)).body.items.length;

  before(async () => {
    key = await makeTriggerKey(server());
    await makeStep(server(), 'evac', 'show_toast', { message: 'x' });
    await makeAction(server(), {
      event_id: 'post-only',
      allow_get: false,
      steps: [{ function: 'refresh_content', target: { all: true } }],
    });
  });

  test('I18: HEAD on both paths says that the address is good, and fires nothing', async () => {
    const good = [`/evac?api_key=${key}`, `/post-only?api_key=${key}`, `?event_id=evac&api_key=${key}`];
    for (const suffix of [...good, `?event_id=post-only&api_key=${key}`, `?api_key=${key}`]) {
      const { status, text } = await open(suffix, {}, 'HEAD');
      assert.ok(status === 200 || status === 204, `${suffix} ${status}`);
      assert.equal(text, '');
    }
    assert.equal((await open(`/evac?api_key=${key}`, {}, 'HEAD')).status, 200);
    assert.equal((await open('/evac', { 'x-webhook-apikey': key }, 'HEAD')).status, 200);
    assert.equal((await open('/evac', {}, 'HEAD')).status, 401);
    assert.equal((await open('/evac?api_key=fhk_nonsense', {}, 'HEAD')).status, 401);
    assert.equal((await open(`/nothing?api_key=${key}`, {}, 'HEAD')).status, 404);
    assert.equal((await open(`/evac?api_key=${key}`)).status, 405);
    assert.equal((await open(`/evac?api_key=${key}`)).headers.allow, 'HEAD, POST');
    for (const event of ['evac', 'post-only']) assert.equal(await count(event, 'fired'), 0);
    assert.ok((await count('evac', 'seen')) > 0);
  });

  test('I21: of several places for a key the first that holds one counts, and blanks never do', async () => {
    const other = await makeTriggerKey(server());
    const good: [suffix: string, headers: Record<string, string | string[]>][] = [
      [`?event_id=evac&api_key=${key}`, { 'x-webhook-apikey': '' }],
      [`?event_id=evac&api_key=${key}`, { 'x-webhook-apikey': ' ', authorization: 'Bearer ' }],
      [`?event_id=evac&api_key=&apiKey=${key}`, {}],
      [`?event_id=evac&api_key=%20&api_key=${key}`, { authorization: 'Basic eDp5' }],
      ['?event_id=evac', { 'x-webhook-apikey': '', authorization: `Bearer ${key}` }],
      ['?event_id=evac', { 'x-webhook-apikey': ['', key] }],
      ['?event_id=evac', { 'x-webhook-apikey': ` ${key} ` }],
      [`?event_id=evac&api_key=${key}`, { 'x-webhook-apikey': 'fhk_nonsense' }],
      [`?event_id=evac&api_key=nonsense&apiKey=${key}`, { authorization: 'Bearer nobody' }],
      [`?event_id=evac&api_key=${other}`, { authorization: `Bearer ${key}` }],
    ];
    for (const [suffix, headers] of good)
      assert.equal((await open(suffix, headers, 'POST')).status, 200, JSON.stringify([suffix, headers]));
    const bad: typeof good = [
      ['?event_id=evac&api_key=', { 'x-webhook-apikey': '' }],
      ['?event_id=evac&api_key=nonsense', { 'x-webhook-apikey': 'nothing', authorization: 'Bearer nobody' }],
    ];
    for (const [suffix, headers] of bad)
      assert.equal((await open(suffix, headers, 'POST')).status, 401, JSON.stringify([suffix, headers]));
    const elsewhere = await makeTriggerKey(server(), { allowed_ips: ['203.0.113.7'] });
    const refused = await open(`?event_id=evac&api_key=${key}`, { 'x-webhook-apikey': elsewhere }, 'POST');
    assert.equal(refused.status, 403, 'a key that is one and may not is not passed over');
  });

  test('a GET with its key in a header is meant, whoever sends it', async () => {
    const agents = ['Mattermost/9.0', 'ZulipOutgoingWebhook/1.0', 'Synapse/1.100', 'Slackbot 1.0'];
    for (const agent of agents) {
      const fired = await count('evac', 'fired');
      const inUrl = await open(`?event_id=evac&api_key=${key}`, { 'user-agent': agent });
      assert.deepEqual([inUrl.status, await count('evac', 'fired')], [204, fired], agent);
      const blank = { 'user-agent': agent, 'x-webhook-apikey': ' ' };
      assert.equal((await open(`?event_id=evac&api_key=${key}`, blank)).status, 204, agent);
      for (const headers of [{ 'x-webhook-apikey': key }, { authorization: `Bearer ${key}` }])
        assert.equal((await open('?event_id=evac', { 'user-agent': agent, ...headers })).status, 200, agent);
      assert.equal(await count('evac', 'fired'), fired + 2, agent);
    }
    const headed = await open('?event_id=evac', { 'x-webhook-apikey': key }, 'HEAD');
    assert.ok(headed.status < 300);
  });

  test('S22: a part of another page fires nothing, where a browser says no more either', async () => {
    const suffix = `?event_id=evac&api_key=${key}`;
    const host = new URL(server().url).host;
    const unmeant: Record<string, string>[] = [
      { accept: picture },
      { accept: 'image/webp,image/png,video/*;q=0.8,*/*;q=0.5', referer: `http://${host}/page` },
      { accept: 'text/css,*/*;q=0.1' },
      { accept: 'application/javascript, */*;q=0.8' },
      { accept: 'Text/JavaScript' },
      { accept: 'audio/webm,audio/*;q=0.9,*/*;q=0.5' },
      { accept: '*/*', referer: 'http://elsewhere.example/page' },
      { referer: 'http://elsewhere.example' },
      { referer: `http://elsewhere.example/${host}` },
      { origin: 'http://elsewhere.example' },
      { origin: 'null' },
    ];
    const fired = await count('evac', 'fired');
    for (const headers of unmeant)
      assert.equal((await open(suffix, headers)).status, 204, JSON.stringify(headers));
    const asked = await open(suffix, { accept: page, referer: 'http://wiki.example/emergencies' });
    assert.equal(asked.status, 200);
    assert.match(asked.text, /<form method="post">/, 'a person gets a button');
    assert.equal(await count('evac', 'fired'), fired);
    const meant: Record<string, string>[] = [
      {},
      { accept: '*/*' },
      { accept: page },
      { accept: 'application/json, text/javascript, */*; q=0.01' },
      { accept: page, referer: `http://${host}/docs` },
      { referer: 'https://intranet.example/button' },
      {
        origin: 'https://intranet.example',
        'sec-fetch-site': 'cross-site',
        'sec-fetch-mode': 'cors',
        'sec-fetch-dest': 'empty',
      },
    ];
    for (const headers of meant)
      assert.equal((await open(suffix, headers)).status, 200, JSON.stringify(headers));
    assert.equal(await count('evac', 'fired'), fired + meant.length);
    const foreign = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' };
    assert.equal((await open(suffix, { ...foreign, origin: 'https://evil.example' })).status, 204);
    assert.equal(
      (
        await open(suffix, {
          ...foreign,
          'sec-fetch-dest': 'image',
          'sec-fetch-mode': 'no-cors',
          referer: 'https://intranet.example/',
        })
      ).status,
      204,
    );
  });

  test('I20: who is answered with a page is negotiated', async () => {
    const forms: [accept: string | undefined, isPage: boolean][] = [
      [undefined, false],
      ['*/*', false],
      ['application/json', false],
      ['application/json, text/html;q=0', false],
      ['application/json, text/html;q=0.9', false],
      ['application/json, text/plain, */*', false],
      ['text/html;q=0, */*', false],
      ['text/html;q=0.1, application/json;q=0.2', false],
      ['text/plain', false],
      [page, true],
      ['text/html', true],
      ['TEXT/HTML', true],
      ['text/*', true],
      ['text/html, */*', true],
      ['application/json;q=0.5, text/html', true],
    ];
    for (const [accept, isPage] of forms) {
      const headers: Record<string, string> = accept === undefined ? {} : { accept };
      const done = await open(`?event_id=evac&api_key=${key}`, headers, 'POST');
      assert.deepEqual([done.status, done.type.includes('html')], [200, isPage], accept);
      const refused = await open(`?event_id=nothing&api_key=${key}`, headers, 'POST');
      assert.deepEqual([refused.status, refused.type.includes('html')], [404, isPage], accept);
    }
  });

  test('a page of CORS_ORIGINS may fire, others may not', async () => {
    const preflight = {
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'x-webhook-apikey',
    };
    for (const suffix of ['', '/evac']) {
      const own = await open(suffix, { origin: 'https://intranet.example', ...preflight }, 'OPTIONS');
      assert.equal(own.status, 204);
      assert.equal(own.headers['access-control-allow-origin'], 'https://intranet.example');
      assert.match(String(own.headers['access-control-allow-headers']), /x-webhook-apikey/);
      for (const origin of [
        'https://evil.example',
        'https://intranet.example.evil.example',
        'http://intranet.example',
        'null',
      ]) {
        const other = await open(suffix, { origin, ...preflight }, 'OPTIONS');
        assert.equal(other.headers['access-control-allow-origin'], undefined, origin);
        assert.equal(other.status, 405);
      }
    }
    const headers = { origin: 'https://intranet.example', 'x-webhook-apikey': key };
    for (const [suffix, status] of [
      ['?event_id=evac', 200],
      ['?event_id=nothing', 404],
    ] as const) {
      const fired = await open(suffix, headers, 'POST');
      assert.equal(fired.status, status);
      assert.equal(fired.headers['access-control-allow-origin'], 'https://intranet.example');
      assert.equal(fired.headers['access-control-allow-credentials'], undefined);
      assert.match(String(fired.headers.vary), /Origin/);
    }
    const managed = await undici.request(`${server().url}/api/v1/actions`, { headers });
    assert.equal(managed.headers['access-control-allow-origin'], undefined);
    await managed.body.dump();
  });
});

suite('pages of other origins', () => {
  const server = oneServer(startServer);

  test('may not fire triggers where no setting names them', async () => {
    for (const method of ['OPTIONS', 'POST'] as const) {
      const headers = { origin: 'https://intranet.example', 'access-control-request-method': 'POST' };
      const { headers: said, body } = await undici.request(server().url + path, { method, headers });
      assert.equal(said['access-control-allow-origin'], undefined);
      await body.dump();
    }
  });
});

test('S22: what was meant is told from the headers alone', () => {
  const trust = {
    isOwnHost: (host: string) => host === 'own:8080',
    isTrustedOrigin: (origin: string) => origin === 'https://page',
  };
  const reason = (headers: Record<string, string>) => reasonNotToFire(headers, trust);
  assert.equal(reason({}), null);
  assert.equal(reason({ accept: 'image/png;q=0.5,*/*' }), 'part of another page');
  assert.equal(reason({ accept: ' , ;q' }), null);
  assert.equal(reason({ referer: 'http://own:8080/x' }), null);
  assert.equal(reason({ referer: 'http://own/x' }), 'opened from another page');
  assert.equal(reason({ referer: 'nonsense' }), 'opened from another page');
  assert.equal(reason({ referer: 'https://page/x' }), null);
  assert.equal(reason({ referer: 'https://page.evil/x' }), 'opened from another page');
  assert.equal(reason({ 'user-agent': 'Slackbot', referer: 'http://own:8080' }), 'link preview');
  assert.equal(reason({ 'user-agent': 'matrix-preview/1.0' }), 'link preview');
});

test('S15: headers cost no more than they are long', () => {
  const trust = { isOwnHost: () => false, isTrustedOrigin: () => false };
  const fill = (text: string) => text.repeat(Math.ceil(30_000 / text.length));
  for (const text of ['matrix', 'image/', ', ', ';', 'a/b,', ' '].map(fill)) {
    const start = performance.now();
    for (const name of ['user-agent', 'accept', 'referer', 'purpose', 'origin'])
      reasonNotToFire({ [name]: text }, trust);
    assert.ok(performance.now() - start < 100, text.slice(0, 20));
  }
});
