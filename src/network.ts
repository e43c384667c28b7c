/** IP addresses and networks as people, proxies and sockets write them. */
import { BlockList, isIP } from 'node:net';

export type Family = 'ipv4' | 'ipv6';
export type Network = { address: string; prefix: number; family: Family };

const bitsOf = { ipv4: 32, ipv6: 128 } as const;
/** Of an IPv6 address that stands for an IPv4 one, what comes before it. */
const mappedBits = 96;

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

/**
 * An address as it is kept and compared, in the one spelling that it has here: IPv4 as IPv4, IPv6 as RFC 5952 writes it,
 * without the port, brackets and zone that proxies and sockets write with it. Null for what is no address.
 */
export function plainAddress(text: string | undefined): string | null {
  const address = bareAddress(text?.trim() ?? '');
  const family = familyOf(address);
  if (family !== 'ipv6') return family && address;
  const { hostname } = new URL(`http://[${withoutZone(address)}]`);
  return mappedAddress(hostname.slice(1, -1));
}

/** Without a port and brackets: `203.0.113.7:51234`, `[2001:db8::7]`, `[2001:db8::7]:443`. */
function bareAddress(text: string): string {
  if (text.startsWith('[')) return /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text)?.[1] ?? '';
  return /^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text;
}

/** The IPv4 address in an IPv6 one that stands for it; any other as it is. */
function mappedAddress(address: string): string {
  const [, high = '', low = ''] = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(address) ?? [];
  if (high === '') return address;
  return [high, low]
    .map((word) => Number.parseInt(word, 16))
    .flatMap((word) => [word >> 8, word & 0xff])
    .join('.');
}

const subnetBits = 64;

/** Whom an address stands for when it is counted: of IPv6 the network, since one line has more of them than can be counted. */
export function countedAddress(address: string | null): string {
  if (address === null) return '';
  if (familyOf(address) !== 'ipv6') return address;
  const [head = '', tail = ''] = address.split('::', 2);
  const words = (part: string) => (part === '' ? [] : part.split(':'));
  const zeros = Array<string>(Math.max(0, 8 - words(head).length - words(tail).length)).fill('0');
  const all = address.includes('::') ? [...words(head), ...zeros, ...words(tail)] : words(address);
  return `${all.slice(0, subnetBits / 16).join(':')}::/${subnetBits}`;
}

/** Reads an address, or one with the length of its prefix as in 10.0.0.0/8; null for anything else. */
export function readNetwork(text: string): Network | null {
  const [given = '', prefix, ...rest] = text.split('/');
  const family = familyOf(given);
  if (family === null || rest.length > 0) return null;
  const bits = bitsOf[family];
  if (prefix !== undefined && !(/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits)) return null;
  const address = plainAddress(given) ?? given;
  const length = prefix === undefined ? bits : Number(prefix);
  // An IPv4 network in the spelling of IPv6 holds the addresses that we write as IPv4.
  const isMapped = family === 'ipv6' && familyOf(address) === 'ipv4';
  if (!isMapped) return { address, prefix: length, family };
  return length < mappedBits ? null : { address, prefix: length - mappedBits, family: 'ipv4' };
}

/** What any of the networks holds. */
export function blockListOf(networks: Iterable<Network>): BlockList {
  const list = new BlockList();
  for (const { address, prefix, family } of networks) list.addSubnet(address, prefix, family);
  return list;
}
