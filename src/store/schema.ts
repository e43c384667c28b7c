import type { Insertable, Kysely, Selectable, Transaction } from 'kysely';

/**
 * The tables as both databases have them. Instants are integer milliseconds since the epoch, booleans 0 or 1,
 * columns named `…_json` JSON text (store/json.ts), `…_sealed` AES-256-GCM under FLEETHOOK_SECRET.
 */
export type Tables = {
  settings: { name: string; value: string };
  sequences: { name: string; next_value: number };
  projects: { id: number; name: string; created_at: number };
  keys: {
    id: string;
    project_id: number;
    name: string;
    prefix: string;
    hash: string;
    secret_sealed: string;
    scopes_json: string;
    event_ids_json: string | null;
    allowed_ips_json: string | null;
    expires_at: number | null;
    enabled: number;
    last_used_at: number | null;
    created_at: number;
  };
  users: {
    id: string;
    project_id: number;
    email: string;
    name: string;
    role: string;
    password_hash: string;
    enabled: number;
    last_login_at: number | null;
    created_at: number;
  };
  sessions: { hash: string; user_id: string; expires_at: number; created_at: number };
  audit: {
    id: string;
    project_id: number;
    at: number;
    actor_kind: string;
    actor_id: string | null;
    actor_name: string;
    address: string | null;
    change: string;
    subject_kind: string;
    subject_id: string;
    details_json: string;
  };
  groups: {
    id: number;
    project_id: number;
    parent_id: number;
    name: string;
    path: string;
    created_at: number;
  };
  device_types: {
    id: string;
    project_id: number;
    name: string;
    message_types_json: string;
    created_at: number;
  };
  devices: {
    id: number;
    project_id: number;
    group_id: number | null;
    type_id: string | null;
    name: string;
    metadata_json: string;
    token_hash: string;
    created_at: number;
    connected_at: number | null;
    last_seen_at: number | null;
    address: string | null;
  };
  device_tags: { project_id: number; tag: string; device_id: number };
  actions: {
    id: string;
    project_id: number;
    event_id: string;
    name: string;
    steps_json: string;
    allow_get: number;
    confirm: number;
    enabled: number;
    created_at: number;
    updated_at: number;
  };
  links: {
    id: string;
    project_id: number;
    event_id: string;
    token_hash: string;
    token_sealed: string;
    payload_json: string;
    expires_at: number | null;
    max_uses: number | null;
    uses: number;
    created_at: number;
  };
  triggers: {
    id: string;
    project_id: number;
    event_id: string;
    action_id: string | null;
    source: string;
    status: string;
    reason: string | null;
    key_id: string | null;
    link_id: string | null;
    address: string | null;
    user_agent: string | null;
    call_json: string;
    created_at: number;
  };
  idempotency: {
    caller: string;
    idempotency_key: string;
    call_hash: string;
    trigger_id: string;
    answer_json: string;
    created_at: number;
  };
  commands: {
    id: string;
    project_id: number;
    trigger_id: string | null;
    /** `<action id>:<step>`: firing the same step again renews its emergency instead of stacking it. */
    source: string | null;
    function: string;
    /** The state slot, or null for a pulse. */
    slot: string | null;
    params_json: string;
    target_json: string;
    issued_at: number;
    expires_at: number | null;
    /** 1 while a state command takes part in the fold. Always 0 for pulses. */
    in_force: number;
    canceled_at: number | null;
  };
  /** Where a pulse is looked for when a device connects: one row for each scope of its target. */
  pulses: { project_id: number; scope: string; expires_at: number; command_id: string };
  receipts: {
    command_id: string;
    device_id: number;
    status: string;
    detail: string | null;
    at: number;
  };
};

/** The open database. */
export type Database = Kysely<Tables>;
/** A handle: the database, or a transaction where the caller opened one. */
export type Db = Database | Transaction<Tables>;
export type Row<T extends keyof Tables> = Selectable<Tables[T]>;
export type NewRow<T extends keyof Tables> = Insertable<Tables[T]>;
