/** Secrets of webhooks: every one that was promised to be good signs, and shows, until its end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verifyWebhook } from '../src/client/verify.ts';
import { secretLabel } from '../src/domain/webhook/signing-secret.ts';
import { changeWebhook, makeWebhook, say, setUpDeliveries } from './support/delivery.ts';
import { bodyOf, codeOf } from './support/management.ts';
import { onEveryDatabase, type TestServer } from './support/server.ts';
import { type Received, startReceiver } from './support/webhook-receiver.ts';

const hour = 60 * 60;

onEveryDatabase('O14: secrets that were replaced', (start) => {
  const setUp = async (webhook: object = {}) => {
    const parts = await setUpDeliveries(start);
    const receiver = await startReceiver();
    const made = await makeWebhook(parts.server, { url: receiver.url, ...webhook });
    const path = `/webhooks/${made.id}`;
    let heard = 0;
    return {
      ...parts,
      receiver,
      made,
      path,
      rotate: async (body: object = {}) =>
        bodyOf(await parts.server.api(`${path}/rotate-secret`, { body }), 200),
      shown: async () => bodyOf(await parts.server.api(`${path}/secret`), 200),
      /** What the next request is signed with, of these. */
      signs: async (secrets: Record<string, string>): Promise<string[]> => {
        heard += 1;
        await say(parts.device, `event ${heard}`);
        await receiver.got(heard);
        const request = receiver.received[heard - 1];
        assert.ok(request);
        return signersOf(request, secrets);
      },
      [Symbol.asyncDispose]: async () => {
        await receiver[Symbol.asyncDispose]();
        await parts.server[Symbol.asyncDispose]();
      },
    };
  };

  /** The names of those that verify; every signature has to be of one of them. */
  function signersOf(request: Received, secrets: Record<string, string>): string[] {
    const { headers, bytes: body } = request;
    const at = Number(headers['webhook-timestamp']) * 1_000;
    const found = Object.entries(secrets).filter(
      ([, secret]) => verifyWebhook({ scheme: 'standard', secret, headers, body, now: at }).ok,
    );
    assert.equal(String(headers['webhook-signature']).split(' ').length, found.length);
    return found.map(([name]) => name);
  }

  test('by rotating twice and by a change all sign, each until its own end', async () => {
    await using those = await setUp();
    const { time, server, made, rotate, shown, signs } = those;
    const first = made.secret;
    const { secret: second } = await rotate({ overlap_seconds: 10 * hour });
    const { secret: third } = await rotate();
    const fourth = `whsec_${Buffer.alloc(32, 4).toString('base64')}`;
    await changeWebhook(server, made.id, { secret: fourth });
    const secrets = { first, second, third, fourth };
    assert.deepEqual(await signs(secrets), ['first', 'second', 'third', 'fourth']);
    const all = await shown();
    assert.equal(all.secret, fourth);
    assert.deepEqual(
      all.old_secrets.map((old: { secret: string }) => old.secret),
      [third, second, first],
    );
    assert.deepEqual([all.old_secret, all.old_secret_until], [third, all.old_secrets[0].until]);
    const hours = all.old_secrets.map(({ until }: { until: string }) =>
      Math.round((Date.parse(until) - time.now()) / 3_600_000),
    );
    assert.deepEqual(hours, [24, 24, 10]);

    time.forward(11 * hour * 1_000);
    assert.deepEqual(await signs(secrets), ['second', 'third', 'fourth']);
    assert.deepEqual((await shown()).old_secrets.length, 2);
    time.forward(14 * hour * 1_000);
    assert.deepEqual(await signs(secrets), ['fourth']);
    const none = await shown();
    assert.deepEqual([none.old_secret, none.old_secret_until, none.old_secrets], [null, null, []]);
  });

  test('without an overlap end at once, and those before them do not', async () => {
    await using those = await setUp();
    const first = those.made.secret;
    const { secret: second } = await those.rotate();
    const { secret: third } = await those.rotate({ overlap_seconds: 0 });
    assert.deepEqual(await those.signs({ first, second, third }), ['first', 'third']);
    // A secret that comes back is the secret, and not an old one too.
    await those.rotate({ secret: first });
    assert.deepEqual(await those.signs({ first, second, third }), ['first', 'third']);
    const { secret, old_secrets } = await those.shown();
    assert.deepEqual([secret, old_secrets.length], [first, 1]);
  });

  test('are ten at most', async () => {
    await using those = await setUp();
    for (let time = 0; time < 10; time += 1) await those.rotate();
    const path = `${those.path}/rotate-secret`;
    assert.deepEqual(codeOf(await those.server.api(path, { body: {} })), [409, 'conflict']);
    assert.equal((await those.rotate({ overlap_seconds: 0 })).old_secrets.length, 10);
    const change = { secret: `whsec_${Buffer.alloc(32, 4).toString('base64')}` };
    assert.deepEqual(codeOf(await those.server.api(those.path, { method: 'PATCH', body: change })), [
      409,
      'conflict',
    ]);
  });

  test('go on with another scheme where they fit it', async () => {
    await using those = await setUp({ url: 'https://example.com/', enabled: false });
    const { server, made, rotate, shown } = those;
    const { secret: second } = await rotate();
    const texts = async () => {
      const { secret, old_secrets } = await shown();
      return [secret, ...old_secrets.map((old: { secret: string }) => old.secret)];
    };
    await changeWebhook(server, made.id, { signature: 'biotz' });
    assert.deepEqual(await texts(), [second, made.secret]);
    await changeWebhook(server, made.id, { signature: 'biotz', secret: 'not base64!' });
    assert.deepEqual(await texts(), ['not base64!', second, made.secret]);
    await changeWebhook(server, made.id, { signature: 'standard' });
    const [now, ...old] = await texts();
    assert.match(now, /^whsec_/);
    assert.deepEqual(old, [second, made.secret]);
    await changeWebhook(server, made.id, { signature: 'none' });
    assert.deepEqual(await texts(), [null]);
  });

  test('of a database from before are read on', async () => {
    await using those = await setUp();
    const { server, made, time } = those;
    const old = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    await asBefore(server, made.id, old, time.now() + hour * 1_000);
    assert.deepEqual(await those.signs({ old, now: made.secret }), ['old', 'now']);
    assert.equal((await those.shown()).old_secret, old);
    const { secret: next } = await those.rotate();
    assert.deepEqual(await those.signs({ old, now: made.secret, next }), ['old', 'now', 'next']);
  });

  async function asBefore(server: TestServer, id: string, old: string, until: number): Promise<void> {
    const { db, seal, cache } = server.ctx;
    await db
      .updateTable('webhooks')
      .set({
        old_secret_sealed: seal.close(secretLabel, old),
        old_secret_until: until,
        old_secrets_json: null,
      })
      .where('id', '=', id)
      .execute();
    cache.clear();
  }
});
