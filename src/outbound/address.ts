/**
 * The address guard: which addresses outgoing requests may reach. A webhook's URL is written by users, and must
 * not open what only this machine or its network can see (server-side request forgery).
 */
import { blockListOf, type Family, familyOf, readNetwork, withoutZone } from '../network.ts';

export type Guard = {
  /** Why the IP address is refused, in words that follow on "because"; null when it may be reached. */
  check(address: string): string | null;
  /** It may be reached only because somebody has said so. */
  isException(address: string): boolean;
};

/**
 * What is not the public internet: IANA's registries of special-purpose addresses (RFC 6890), and what was
 * assigned or given up since. The first match gives the reason, so a narrow network stands before the wide one
 * around it. The rows of IPv4 hold for IPv4-mapped addresses too.
 */
const refusedNetworks: readonly (readonly [network: string, prefix: number, family: Family, what: string])[] =
  [
    ['0.0.0.0', 8, 'ipv4', 'an address of "this network"'],
    ['10.0.0.0', 8, 'ipv4', 'a private address'],
    ['100.64.0.0', 10, 'ipv4', 'a shared (carrier-grade NAT) address'],
    ['127.0.0.0', 8, 'ipv4', 'a loopback address'],
    // Public by its number, but a cloud answers it inside every one of its machines, secrets among the rest.
    ['168.63.129.16', 32, 'ipv4', 'the platform address of a cloud'],
    ['169.254.0.0', 16, 'ipv4', 'a link-local (cloud metadata) address'],
    ['172.16.0.0', 12, 'ipv4', 'a private address'],
    ['192.0.0.0', 24, 'ipv4', 'an address for protocol assignments'],
    ['192.0.2.0', 24, 'ipv4', 'a documentation address'],
    ['192.88.99.0', 24, 'ipv4', 'a 6to4 relay address'],
    ['192.168.0.0', 16, 'ipv4', 'a private address'],
    ['198.18.0.0', 15, 'ipv4', 'a benchmarking address'],
    ['198.51.100.0', 24, 'ipv4', 'a documentation address'],
    ['203.0.113.0', 24, 'ipv4', 'a documentation address'],
    ['224.0.0.0', 4, 'ipv4', 'a multicast address'],
    ['255.255.255.255', 32, 'ipv4', 'the broadcast address'],
    ['240.0.0.0', 4, 'ipv4', 'a reserved address'],

    ['::', 128, 'ipv6', 'the unspecified address'],
    ['::1', 128, 'ipv6', 'the loopback address'],
    ['::ffff:0:0', 96, 'ipv6', 'an IPv4-mapped address'],
    ['::ffff:0:0:0', 96, 'ipv6', 'an IPv4-translated address'],
    ['::', 96, 'ipv6', 'an IPv4-compatible address'],
    ['64:ff9b::', 96, 'ipv6', 'a NAT64 address'],
    ['64:ff9b:1::', 48, 'ipv6', 'a NAT64 address'],
    ['100::', 64, 'ipv6', 'a discard address'],
    ['2001::', 32, 'ipv6', 'a Teredo address'],
    ['2001:2::', 48, 'ipv6', 'a benchmarking address'],
    ['2001:10::', 28, 'ipv6', 'an ORCHID address'],
    ['2001:20::', 28, 'ipv6', 'an ORCHID address'],
    ['2001::', 23, 'ipv6', 'an address for protocol assignments'],
    ['2001:db8::', 32, 'ipv6', 'a documentation address'],
    ['2002::', 16, 'ipv6', 'a 6to4 address'],
    ['3fff::', 20, 'ipv6', 'a documentation address'],
    ['fc00::', 7, 'ipv6', 'a private (unique local) address'],
    ['fe80::', 10, 'ipv6', 'a link-local address'],
    ['fec0::', 10, 'ipv6', 'a private (site-local) address'],
    ['ff00::', 8, 'ipv6', 'a multicast address'],
    // Unicast is assigned from 2000::/3 alone (RFC 4291); these three are everything else.
    ['::', 3, 'ipv6', 'a reserved address'],
    ['4000::', 2, 'ipv6', 'a reserved address'],
    ['8000::', 1, 'ipv6', 'a reserved address'],
  ];

/** `allowNetworks` are addresses or CIDR blocks that may be reached all the same; throws when one is neither. */
export function createGuard(allowNetworks: readonly string[]): Guard {
  // A list of both families would let a row of IPv6 that spans the mapped addresses match every IPv4 address.
  const networks = allowNetworks.map((text) => {
    const network = readNetwork(text);
    if (network === null) throw new Error(`${text} is neither an address nor a network`);
    return network;
  });
  const allowed = {
    ipv4: blockListOf(networks.filter(({ family }) => family === 'ipv4')),
    ipv6: blockListOf(networks.filter(({ family }) => family === 'ipv6')),
  };
  const mapped = blockListOf([{ address: '::ffff:0:0', prefix: 96, family: 'ipv6' }]);
  const refused = refusedNetworks.map(([address, prefix, family, what]) => ({
    family,
    what,
    list: blockListOf([{ address, prefix, family }]),
  }));

  const isAllowed = (address: string, family: Family) =>
    allowed.ipv4.check(address, family) ||
    (family === 'ipv6' && !mapped.check(address, family) && allowed.ipv6.check(address, family));

  return {
    isException(address) {
      const family = familyOf(address);
      return family !== null && isAllowed(address, family);
    },
    check(given) {
      const address = withoutZone(given);
      const family = familyOf(address);
      if (!family) return `${given} is no IP address`;
      if (isAllowed(address, family)) return null;
      const row = refused.find(
        (row) => (row.family === 'ipv4' || family === 'ipv6') && row.list.check(address, family),
      );
      return row ? `${given} is ${row.what}` : null;
    },
  };
}
