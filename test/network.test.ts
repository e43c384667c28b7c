/** Addresses: one spelling of each, behind proxies too, and what of them is counted. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { countedAddress, plainAddress, readNetwork } from '../src/network.ts';
import { makeStep, makeTriggerKey } from './support/fleet.ts';
import { oneServer } from './support/management.ts';
import { onEveryDatabase, request } from './support/server.ts';

suite('I17: one spelling of an address', () => {
  const spellings: [string, string | null][] = [
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:51234', '203.0.113.7'],
    [' 203.0.113.7 ', '203.0.113.7'],
    ['[203.0.113.7]:80', '203.0.113.7'],
    ['2001:DB8:0:0:0:0:0:7', '2001:db8::7'],
    ['2001:0db8::0007', '2001:db8::7'],
    ['[2001:db8::7]', '2001:db8::7'],
    ['[2001:db8::7]:443', '2001:db8::7'],
    ['[fe80::1%eth0]:443', 'fe80::1'],
    ['::FFFF:10.0.0.7', '10.0.0.7'],
    ['::ffff:a00:7', '10.0.0.7'],
    ['0:0:0:0:0:ffff:0a00:0007', '10.0.0.7'],
    ['[::ffff:10.0.0.7]:80', '10.0.0.7'],
    ['::1', '::1'],
    ['unknown', null],
    ['_hidden', null],
    ['203.0.113.7:', null],
    ['203.0.113.7:x', null],
    ['[]', null],
    ['[::1', null],
    ['::1]', null],
    ['300.1.1.1', null],
  ];
  for (const [given, kept] of spellings) test(`of ${given}`, () => assert.equal(plainAddress(given), kept));

  test('of any address, however it is written', () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.nat(65_535), (address, port) => {
        const kept = plainAddress(address);
        assert.ok(kept);
        for (const other of [address.toUpperCase(), `[${address}]`, `[${address}]:${port}`, `${address}%en0`])
          assert.equal(plainAddress(other), kept);
        assert.equal(plainAddress(kept), kept);
      }),
    );
    fc.assert(
      fc.property(fc.ipV4(), fc.nat(65_535), (address, port) => {
        for (const other of [
          address,
          `${address}:${port}`,
          `::ffff:${address}`,
          `[::ffff:${address}]:${port}`,
        ])
          assert.equal(plainAddress(other), address);
      }),
    );
  });

  test('of networks, mapped ones too', () => {
    assert.deepEqual(readNetwork('::ffff:10.0.0.0/104'), { address: '10.0.0.0', prefix: 8, family: 'ipv4' });
    assert.deepEqual(readNetwork('::FFFF:10.0.0.7'), { address: '10.0.0.7', prefix: 32, family: 'ipv4' });
    assert.deepEqual(readNetwork('2001:DB8::/32'), { address: '2001:db8::', prefix: 32, family: 'ipv6' });
    for (const text of ['::ffff:0:0/95', '10.0.0.1:80', '[::1]']) assert.equal(readNetwork(text), null, text);
  });

  test('what is counted is an address, and of IPv6 its network', () => {
    const counted: [string | null, string][] = [
      [null, ''],
      ['203.0.113.7', '203.0.113.7'],
      ['2001:db8::7', '2001:db8:0:0::/64'],
      ['2001:db8:0:0:1:2:3:4', '2001:db8:0:0::/64'],
      ['2001:db8:0:1::', '2001:db8:0:1::/64'],
      ['1:2:3:4:5:6:7:8', '1:2:3:4::/64'],
      ['1::8', '1:0:0:0::/64'],
      ['::1', '0:0:0:0::/64'],
    ];
    for (const [address, key] of counted) assert.equal(countedAddress(address), key);
  });
});

onEveryDatabase('I17: addresses behind a proxy', (start) => {
  const env = { TRUST_PROXY: 'loopback, 10.0.0.0/8', RATE_LIMIT_FAILED_KEYS: '3' };
  const server = oneServer(start, { env });
  const path = '/public-api/integration/webhooks';
  const from = (forwarded: string, how: Parameters<typeof request>[1] = {}, suffix = '?event_id=addresses') =>
    request(server().url + path + suffix, {
      key: null,
      method: 'POST',
      ...how,
      headers: { 'x-forwarded-for': forwarded, ...how.headers },
    });

  test('stand in the log and are allowed in their one spelling', async () => {
    await makeStep(server(), 'addresses', 'refresh_content');
    const allowed_ips = ['203.0.113.0/24', '2001:db8::/32', '::ffff:198.51.100.7'];
    const key = await makeTriggerKey(server(), { allowed_ips });
    const headers = { 'x-webhook-apikey': key };
    for (const [forwarded, address] of [
      ['203.0.113.7:51234', '203.0.113.7'],
      ['[2001:DB8:0::7]:443', '2001:db8::7'],
      ['::ffff:203.0.113.8', '203.0.113.8'],
      ['::ffff:c633:6407', '198.51.100.7'],
      ['evil, 203.0.113.9:1, 10.0.0.1:2, [::ffff:10.0.0.2]:3', '203.0.113.9'],
    ] as const) {
      const { status, body } = await from(forwarded, { headers });
      assert.equal(status, 200, forwarded);
      const trigger = await server().api(`/triggers/${body.trigger_id}`);
      assert.equal(trigger.body.address, address, forwarded);
    }
    assert.equal((await from('198.51.100.8:1', { headers })).status, 403);
    assert.equal((await from('nonsense', { headers })).status, 403);
  });

  test('are held to their share of bad keys and sign-ins, IPv6 by its network', async () => {
    const statuses = async (forwarded: string[]) => {
      const seen: number[] = [];
      for (const each of forwarded)
        seen.push((await from(each, { headers: { 'x-webhook-apikey': 'bad' } })).status);
      return seen;
    };
    assert.deepEqual(
      await statuses([
        '203.0.113.50:1',
        '203.0.113.50:2',
        '::ffff:203.0.113.50',
        '203.0.113.50:3',
        '203.0.113.51:1',
      ]),
      [401, 401, 401, 429, 401],
    );
    assert.deepEqual(
      await statuses([
        '2001:db8:1::1',
        '[2001:db8:1::2]:9',
        '2001:db8:1:0:ffff::',
        '2001:DB8:1:0::4',
        '2001:db8:1:1::1',
      ]),
      [401, 401, 401, 429, 401],
    );
    const signIn = (forwarded: string) =>
      server().api('/session', {
        key: null,
        body: { email: 'a@example.com', password: 'wrong password' },
        headers: { 'x-forwarded-for': forwarded },
      });
    const seen: number[] = [];
    for (const each of ['2001:db8:2::1', '2001:db8:2::2', '2001:db8:2::3', '2001:db8:2::4', '2001:db8:2:1::'])
      seen.push((await signIn(each)).status);
    assert.deepEqual(seen, [401, 401, 401, 429, 401]);
  });
});
