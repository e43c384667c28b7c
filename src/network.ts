/** IP addresses and networks as people, proxies and sockets write them. */
import { BlockList, isIP } from 'node:net';

export type Family = 'ipv4' | 'ipv6';
export type Network = { address: string; prefix: number; family: Family };

const bitsOf = { ipv4: 32, ipv6: 128 } as const;

/** Null for what is no IP address. */
export function familyOf(address: string): Family | null {
  const version = isIP(address);
  if (version === 0) return null;
  return version === 4 ? 'ipv4' : 'ipv6';
}

/** An address without its zone: of `fe80::1%eth0` the zone says which link, not which address, in any number of letters. */
export function withoutZone(address: string): string {
  return address.split('%', 1)[0] ?? '';
}

/** An address as it is kept and compared: IPv4 as IPv4, without a zone. Null for what is no address. */
export function plainAddress(text: string | undefined): string | null {
  if (text === undefined || familyOf(text) === null) return null;
  return withoutZone(text).replace(/^::ffff:(?=\d+\.)/i, '');
}

/** Reads an address, or one with the length of its prefix as in 10.0.0.0/8; null for anything else. */
export function readNetwork(text: string): Network | null {
  const [given = '', prefix, ...rest] = text.split('/');
  const family = familyOf(given);
  if (family === null || rest.length > 0) return null;
  const bits = bitsOf[family];
  if (prefix !== undefined && !(/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits)) return null;
  return { address: withoutZone(given), prefix: prefix === undefined ? bits : Number(prefix), family };
}

/** What any of the networks holds. */
export function blockListOf(networks: Iterable<Network>): BlockList {
  const list = new BlockList();
  for (const { address, prefix, family } of networks) list.addSubnet(address, prefix, family);
  return list;
}
