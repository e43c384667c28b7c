/**
 * Who is connected here, and by which door. A door hands in how it delivers, so the rooms send without knowing
 * doors. Devices are found by what targets name (all, groups, ids, tags) without looking at the others.
 */
import type { Device } from '../../store/device.ts';
import type { CommandMessage } from './protocol.ts';
import type { StateMessage } from './state.ts';
import { exactScopes, matchesTarget, scopesOfDevice, type Target } from './target.ts';

/** What the rooms know of a device that speaks or is spoken to. */
export type DeviceFacts = {
  id: number;
  projectId: number;
  name: string;
  /** The id of its type. */
  typeId: string | null;
  groupPath: readonly number[];
  tags: ReadonlySet<string>;
};

export function factsOf({ id, projectId, name, typeId, groupPath, tags }: Device): DeviceFacts {
  return { id, projectId, name, typeId, groupPath, tags: new Set(tags) };
}

export type ConnectedDevice = DeviceFacts & {
  /** The cache's generation when this was read. */
  generation: number;
};

export type Outgoing =
  | { event: 'state'; message: StateMessage }
  | { event: 'command'; message: CommandMessage };

/** What a door promises: `deliver` encodes once for all connections and never throws. */
export type Door = {
  name: string;
  deliver(connections: readonly Connection[], outgoing: Outgoing): void;
  disconnect(connection: Connection): void;
  /** Whether somebody is at the other end still: one who went without a word is connected for a while. */
  isAlive(connection: Connection): Promise<boolean>;
};

export type Connection = {
  readonly door: Door;
  /** The door's own name for it. */
  readonly handle: unknown;
  readonly address: string | null;
  /** Tells this machine from others that hold the same token; null where nothing does but the address. */
  readonly instance: string | null;
  device: ConnectedDevice;
  /** Holds back what is sent while the device is being caught up; null once it is. */
  backlog: Outgoing[] | null;
};

type Entry = { device: ConnectedDevice; connections: Connection[]; isShared: boolean };

export type Presence = {
  /** True when the device was not connected before. */
  add(connection: Connection): boolean;
  /** True when it was the device's last connection. */
  remove(connection: Connection): boolean;
  isOnline(deviceId: number): boolean;
  /** The device is two machines, and both are served. True when that is new. */
  share(deviceId: number): boolean;
  isShared(deviceId: number): boolean;
  connectionsOf(deviceId: number): readonly Connection[];
  /** The connections of the devices that the target matches. */
  match(projectId: number, target: Target): Connection[];
  countOnline(projectId: number, target: Target): number;
  onlineIds(projectId: number): number[];
  /** Files the device's connections under its new group and tags. */
  refile(device: ConnectedDevice): void;
  send(connections: readonly Connection[], outgoing: Outgoing): void;
  all(): Iterable<Connection>;
  count(): number;
};

/** A device that moves to another network is the same machine, where it says which one it is. */
export function isSameMachine(one: Connection, other: Connection): boolean {
  return one.instance !== null && other.instance !== null
    ? one.instance === other.instance
    : one.address === other.address;
}

function areMachines(connections: readonly Connection[]): boolean {
  return connections.some((one) => connections.some((other) => !isSameMachine(one, other)));
}

export function createPresence(): Presence {
  const entries = new Map<number, Entry>();
  const byScope = new Map<string, Set<Entry>>();

  const scopesOf = (device: ConnectedDevice) =>
    scopesOfDevice(device).map((scope) => `${device.projectId} ${scope}`);

  function file(entry: Entry): void {
    for (const scope of scopesOf(entry.device)) {
      const filed = byScope.get(scope);
      if (filed) filed.add(entry);
      else byScope.set(scope, new Set([entry]));
    }
  }

  function unfile(entry: Entry): void {
    for (const scope of scopesOf(entry.device)) {
      const filed = byScope.get(scope);
      filed?.delete(entry);
      if (filed?.size === 0) byScope.delete(scope);
    }
  }

  /** The scopes of a target that are worth looking into, and whether each entry there still has to be matched. */
  function filedUnder(projectId: number, target: Target): { sets: ReadonlySet<Entry>[]; exact: boolean } {
    if ('tags' in target && target.match === 'all') {
      const sets = target.tags.map((tag) => byScope.get(`${projectId} tag:${tag}`) ?? new Set<Entry>());
      const smallest = sets.sort((one, other) => one.size - other.size).slice(0, 1);
      return { sets: smallest, exact: target.tags.length === 1 };
    }
    const sets = exactScopes(target).flatMap((scope) => byScope.get(`${projectId} ${scope}`) ?? []);
    return { sets, exact: true };
  }

  function matching(projectId: number, target: Target): Iterable<Entry> {
    const { sets, exact } = filedUnder(projectId, target);
    const [only] = sets;
    const found = sets.length === 1 && only ? only : new Set(sets.flatMap((set) => [...set]));
    return exact ? found : [...found].filter((entry) => matchesTarget(target, entry.device));
  }

  return {
    add(connection) {
      const known = entries.get(connection.device.id);
      if (known) {
        known.connections.push(connection);
        return false;
      }
      const entry = { device: connection.device, connections: [connection], isShared: false };
      entries.set(connection.device.id, entry);
      file(entry);
      return true;
    },
    remove(connection) {
      const entry = entries.get(connection.device.id);
      if (!entry?.connections.includes(connection)) return false;
      entry.connections = entry.connections.filter((other) => other !== connection);
      entry.isShared &&= areMachines(entry.connections);
      if (entry.connections.length > 0) return false;
      entries.delete(entry.device.id);
      unfile(entry);
      return true;
    },
    isOnline: (deviceId) => entries.has(deviceId),
    share(deviceId) {
      const entry = entries.get(deviceId);
      if (!entry || entry.isShared) return false;
      entry.isShared = true;
      return true;
    },
    isShared: (deviceId) => entries.get(deviceId)?.isShared ?? false,
    connectionsOf: (deviceId) => entries.get(deviceId)?.connections ?? [],
    match: (projectId, target) => [...matching(projectId, target)].flatMap((entry) => entry.connections),
    countOnline(projectId, target) {
      const { sets, exact } = filedUnder(projectId, target);
      if (sets.length <= 1 && exact) return sets[0]?.size ?? 0;
      return [...matching(projectId, target)].length;
    },
    onlineIds: (projectId) => [...(byScope.get(`${projectId} all`) ?? [])].map((entry) => entry.device.id),
    refile(device) {
      const entry = entries.get(device.id);
      if (!entry) return;
      unfile(entry);
      entry.device = device;
      for (const connection of entry.connections) connection.device = device;
      file(entry);
    },
    send(connections, outgoing) {
      const byDoor = new Map<Door, Connection[]>();
      for (const connection of connections) {
        if (connection.backlog) connection.backlog.push(outgoing);
        else {
          const list = byDoor.get(connection.door);
          if (list) list.push(connection);
          else byDoor.set(connection.door, [connection]);
        }
      }
      for (const [door, list] of byDoor) door.deliver(list, outgoing);
    },
    *all() {
      for (const entry of entries.values()) yield* entry.connections;
    },
    count: () => entries.size,
  };
}
