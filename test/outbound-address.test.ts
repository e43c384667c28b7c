/** Which addresses the way out leads to, and which it refuses. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createGuard } from '../src/outbound/address.ts';

suite('the address guard', () => {
  const refused: Record<string, RegExp> = {
    '0.0.0.0': /this network/,
    '0.1.2.3': /this network/,
    '10.0.0.1': /private/,
    '10.255.255.255': /private/,
    '100.64.0.1': /shared/,
    '100.127.255.255': /shared/,
    '127.0.0.1': /loopback/,
    '127.255.0.9': /loopback/,
    '168.63.129.16': /platform/,
    '169.254.169.254': /link-local \(cloud metadata\)/,
    '172.16.0.1': /private/,
    '172.31.255.255': /private/,
    '192.0.0.192': /protocol/,
    '192.0.2.1': /documentation/,
    '192.88.99.1': /6to4/,
    '192.168.1.1': /private/,
    '198.18.0.1': /benchmarking/,
    '198.19.255.255': /benchmarking/,
    '198.51.100.7': /documentation/,
    '203.0.113.7': /documentation/,
    '224.0.0.1': /multicast/,
    '239.255.255.255': /multicast/,
    '240.0.0.1': /reserved/,
    '255.255.255.255': /broadcast/,
    '::': /unspecified/,
    '::1': /loopback/,
    '::127.0.0.1': /IPv4-compatible/,
    '::ffff:127.0.0.1': /loopback/,
    '::ffff:a9fe:a9fe': /cloud metadata/,
    '::ffff:8.8.8.8': /IPv4-mapped/,
    '::ffff:0:127.0.0.1': /IPv4-translated/,
    '64:ff9b::a9fe:a9fe': /NAT64/,
    '64:ff9b:1::1': /NAT64/,
    '100::1': /discard/,
    '2001::1': /Teredo/,
    '2001:2::1': /benchmarking/,
    '2001:10::1': /ORCHID/,
    '2001:2f::1': /ORCHID/,
    '2001:1ff::1': /protocol/,
    '2001:db8::1': /documentation/,
    '2002:7f00:1::': /6to4/,
    '3fff:fff::1': /documentation/,
    '5f00::1': /reserved/,
    'fc00::1': /private/,
    'fd00:ec2::254': /private/,
    'fe80::1': /link-local/,
    'fe80::1%eth0': /link-local/,
    'febf::1': /link-local/,
    'fec0::1': /site-local/,
    'ff02::1': /multicast/,
    'no address': /no IP address/,
    '': /no IP address/,
    '127.1': /no IP address/,
  };
  const reachable = [
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '169.253.255.255',
    '169.255.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2000::1',
    '2001:200::1',
    '2001:4860:4860::8888',
    '2001:db7:ffff::1',
    '2003::1',
    '2606:4700::1111',
    '3ffe::1',
    '3fff:1000::1',
  ];
  const guard = createGuard([]);

  test('refuses what is not the public internet, and says what it is', () => {
    for (const [address, reason] of Object.entries(refused)) {
      const answer = guard.check(address) ?? 'nothing';
      assert.match(answer, reason, address);
      assert.ok(answer.startsWith(`${address} is `), answer);
    }
  });

  test('lets public addresses through, up to the borders of what is refused', () => {
    for (const address of reachable) assert.equal(guard.check(address), null);
  });

  test('exceptions are addresses and blocks of both families, and nothing beside them', () => {
    const excepting = createGuard(['127.0.0.1', '10.1.0.0/16', '::1', 'fd12::/16']);
    for (const address of ['127.0.0.1', '::ffff:127.0.0.1', '10.1.255.1', '::ffff:a01:1', '::1', 'fd12::9']) {
      assert.equal(excepting.check(address), null, address);
    }
    for (const address of ['127.0.0.2', '10.2.0.1', '::ffff:10.2.0.1', '::2', 'fd13::1', '::127.0.0.1']) {
      assert.notEqual(excepting.check(address), null, address);
    }
  });

  test('an exception of one family opens nothing in the other', () => {
    const all6 = createGuard(['::/0']);
    assert.equal(all6.check('fd00::1'), null);
    assert.match(all6.check('10.0.0.1') ?? '', /private/);
    assert.match(all6.check('::ffff:10.0.0.1') ?? '', /private/);
    const all4 = createGuard(['0.0.0.0/0']);
    assert.equal(all4.check('10.0.0.1'), null);
    assert.match(all4.check('fd00::1') ?? '', /private/);
    assert.match(all4.check('64:ff9b::a00:1') ?? '', /NAT64/);
  });
});
