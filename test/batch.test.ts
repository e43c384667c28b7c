import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createBatch } from '../src/batch.ts';
import { systemCaller } from '../src/domain/access/caller.ts';
import { getDevice } from '../src/domain/device/device.ts';
import { listEvents } from '../src/domain/event/history.ts';
import { senderOf } from '../src/domain/event/origin.ts';
import { publishMessageBytes } from '../src/domain/intake/publish.ts';
import type { EventJob } from '../src/domain/jobs.ts';
import { plainAddress, readNetwork } from '../src/network.ts';
import { makeDevice, makeStep, makeTriggerKey } from './support/fleet.ts';
import { codeOf, oneServer } from './support/management.ts';
import { connectTestDevice, onEveryDatabase, request } from './support/server.ts';

suite('jobs in groups', () => {
  /** Refuses whole groups that hold a bad job, as a statement of many rows does. */
  function refusing(message: string) {
    const runs: number[][] = [];
    const isOfOneJob = (error: unknown) => (error as Error).message !== 'away';
    const batch = createBatch<number, number>(
      async (jobs) => {
        runs.push([...jobs]);
        if (jobs.includes(13)) throw new Error(message);
        return jobs.map((job) => job * 2);
      },
      10,
      { isOfOneJob },
    );
    return { runs, add: (...jobs: number[]) => Promise.allSettled(jobs.map((job) => batch.add(job))) };
  }

  test('a job that cannot be done fails alone', async () => {
    const { runs, add } = refusing('this one is too long');
    const answers = await add(1, 13, 2);
    assert.deepEqual(
      answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : answer.reason.message)),
      [2, 'this one is too long', 4],
    );
    assert.deepEqual(runs, [[1, 13, 2], [1], [13], [2]]);
  });

  test('what is wrong with all of them is not tried again for each', async () => {
    const { runs, add } = refusing('away');
    const answers = await add(1, 13, 2);
    assert.ok(answers.every(({ status }) => status === 'rejected'));
    assert.deepEqual(runs, [[1, 13, 2]]);
  });
});

suite('addresses', () => {
  const long = 'a'.repeat(100);
  const plain: [string | undefined, string | null][] = [
    [undefined, null],
    ['', null],
    ['unknown', null],
    ['10.0.0.7', '10.0.0.7'],
    ['::ffff:10.0.0.7', '10.0.0.7'],
    ['2001:db8::7', '2001:db8::7'],
    ['fe80::1%eth0', 'fe80::1'],
    [`fe80::1%${long}`, 'fe80::1'],
    [`::ffff:10.0.0.7%${long}`, '10.0.0.7'],
  ];
  for (const [given, kept] of plain) {
    test(`${given} is kept as ${kept}`, () => assert.equal(plainAddress(given), kept));
  }

  test('networks', () => {
    assert.deepEqual(readNetwork('10.0.0.0/8'), { address: '10.0.0.0', prefix: 8, family: 'ipv4' });
    assert.deepEqual(readNetwork('10.0.0.7'), { address: '10.0.0.7', prefix: 32, family: 'ipv4' });
    assert.deepEqual(readNetwork('2001:db8::/32'), { address: '2001:db8::', prefix: 32, family: 'ipv6' });
    for (const text of ['', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '::/129', 'host', '10.0.0.0/-1'])
      assert.equal(readNetwork(text), null, text);
  });
});

onEveryDatabase('what cannot be stored fails alone', (start) => {
  const server = oneServer(start, { env: { TRUST_PROXY: 'loopback' } });
  const caller = systemCaller(1, 'test');
  const zoned = `fe80::1%${'a'.repeat(100)}`;
  const longType = `application/${'x'.repeat(300)}+json`;

  /** A message as the queue takes it, good unless said otherwise. */
  const jobOf = (extra: Partial<EventJob>): EventJob => ({
    projectId: 1,
    kind: 'message',
    type: 'x',
    label: null,
    origin: {},
    mediaType: 'application/json',
    body: Buffer.from('{}'),
    ...extra,
  });

  test('an event that the database refuses leaves those beside it alone', async () => {
    const { intake } = server().ctx.queues;
    const answers = await Promise.allSettled([
      intake.add(jobOf({ type: 'beside-1' })),
      intake.add(jobOf({ mediaType: null as unknown as string })),
      intake.add(jobOf({ type: 'beside-2' })),
    ]);
    assert.deepEqual(
      answers.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    const { items } = await listEvents(server().ctx, caller, {});
    assert.deepEqual(items.map(({ type }) => type).sort(), ['beside-1', 'beside-2']);
  });

  test('a media type that is too long is refused at the door, the messages beside it are stored', async () => {
    const { id, token } = await makeDevice(server(), { name: 'of many types' });
    const sender = await senderOf(server().ctx, caller, id);
    const say = (mediaType: string) =>
      publishMessageBytes(server().ctx, sender, { type: 'said', mediaType, bytes: Buffer.from('{}') }).then(
        () => 'stored',
        (error) => error.code,
      );
    assert.deepEqual(await Promise.all(['application/json', longType, 'application/senml+json'].map(say)), [
      'stored',
      'bad_request',
      'stored',
    ]);
    const headers = { authorization: `Thing ${token}`, 'content-type': longType };
    const answer = await request(`${server().url}/messages`, { key: null, headers, raw: '{}' });
    assert.deepEqual(codeOf(answer), [400, 'bad_request']);
  });

  test('a caller whose address has a long zone fires, and so do those beside it', async () => {
    const key = await makeTriggerKey(server());
    await makeStep(server(), 'evac', 'refresh_content');
    const from = ['203.0.113.7', zoned, '2001:db8::7'];
    const answers = await Promise.all(
      from.map((address) =>
        server().trigger(
          { event_id: 'evac' },
          { key: null, headers: { 'x-webhook-apikey': key, 'x-forwarded-for': address } },
        ),
      ),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    );
    const { items } = (await server().api('/triggers?event_id=evac')).body;
    assert.deepEqual(items.map((item: { address: string }) => item.address).sort(), [
      '2001:db8::7',
      '203.0.113.7',
      'fe80::1',
    ]);
  });

  test('a device behind such an address is seen, and the sightings of others are written', async () => {
    const { id, token } = await makeDevice(server(), { name: 'zoned' });
    const device = await connectTestDevice(server().url, token, { 'x-forwarded-for': zoned });
    device.disconnect();
    await server().ctx.queues.sightings.flush(server().ctx.db);
    assert.equal((await getDevice(server().ctx, caller, id)).address, 'fe80::1');
  });
});
