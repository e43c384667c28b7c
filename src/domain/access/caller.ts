/** Who asks: a key, a signed-in user, or the program itself. Everything they see belongs to one project. */
import { Fault } from '../fault.ts';

export const scopes = ['trigger', 'read', 'manage', 'publish', 'command', 'admin'] as const;
export type Scope = (typeof scopes)[number];

export type Caller = {
  projectId: number;
  kind: 'key' | 'user' | 'system';
  id: string | null;
  name: string;
  scopes: ReadonlySet<Scope>;
  /** The event_ids a key is narrowed to, null for all. */
  eventIds: ReadonlySet<string> | null;
  address: string | null;
};

/** What a scope brings along. Firing triggers is given by name alone, so that a console key can't be used for it. */
const implied: Readonly<Record<Scope, readonly Scope[]>> = {
  trigger: [],
  read: [],
  publish: [],
  command: [],
  manage: ['read', 'command', 'publish'],
  admin: ['trigger', 'read', 'manage', 'publish', 'command'],
};

export function withImplied(given: Iterable<Scope>): ReadonlySet<Scope> {
  const all = new Set<Scope>();
  for (const scope of given) for (const each of [scope, ...implied[scope]]) all.add(each);
  return all;
}

export const roles = ['owner', 'operator', 'viewer'] as const;
/** A person's: viewers look, operators act, owners also change the set-up. */
export type Role = (typeof roles)[number];

export const scopesOfRole: Readonly<Record<Role, readonly Scope[]>> = {
  owner: ['manage', 'trigger'],
  operator: ['read', 'trigger', 'command', 'publish'],
  viewer: ['read'],
};

/** Throws `not_allowed` unless the caller has one of the scopes. */
export function requireScope(caller: Caller, ...wanted: Scope[]): void {
  if (wanted.some((scope) => caller.scopes.has(scope))) return;
  throw new Fault('not_allowed', `this needs the scope ${wanted.join(' or ')}`);
}

/** The program acting by itself in a project: first start, demo, command line. */
export function systemCaller(projectId: number, name: string): Caller {
  return {
    projectId,
    kind: 'system',
    id: null,
    name,
    scopes: withImplied(['admin']),
    eventIds: null,
    address: null,
  };
}
