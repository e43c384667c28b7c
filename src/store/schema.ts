/** The types of all tables, for Kysely; rows stay in this folder. */
import type { Insertable, Kysely, Selectable, Transaction } from 'kysely';
import type { AlarmTables } from './schema-of-alarms.ts';

/**
 * The tables as both databases have them. Instants are integer milliseconds since the epoch, booleans 0 or 1,
 * columns named `…_json` JSON text (store/columns.ts), `…_sealed` AES-256-GCM under FLEETHOOK_SECRET.
 */
type SetUpTables = {
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
    /** Where it is online, or was when that node died; null once it has gone. */
    online_node: string | null;
    online_door: string | null;
  };
  device_tags: { project_id: number; tag: string; device_id: number };
  actions: {
    id: string;
    project_id: number;
    event_id: string;
    name: string;
    steps_json: string;
    when_json: string | null;
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
    warnings_json: string | null;
    skipped_json: string | null;
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

/** What was said: by devices, by alarms, by the server itself, or by a caller to a command webhook. */
type EventTables = {
  /** Servers that are up; one that has not been seen for a while has left its deliveries to the others. */
  nodes: { id: string; seen_at: number };
  /** What devices that are online want said if they go without a word. */
  wills: {
    id: string;
    device_id: number;
    node_id: string;
    what: string;
    name: string | null;
    bytes: Uint8Array;
  };
  events: {
    id: string;
    project_id: number;
    kind: string;
    type: string | null;
    label: string | null;
    device_id: number | null;
    origin_json: string;
    media_type: string;
    /** Null when the body is large: then it is in `event_parts`. */
    body: Uint8Array | null;
    body_bytes: number;
    /** Why it was stored and not forwarded. */
    problem: string | null;
    at: number;
  };
  event_parts: { event_id: string; place: number; bytes: Uint8Array };
  webhooks: {
    id: string;
    project_id: number;
    /** The device that a webhook of `/svcwebhooks/things/{id}` belongs to; 0 for none. */
    device_id: number;
    module_id: string | null;
    name: string;
    description: string;
    url: string;
    signature: string;
    secret_sealed: string | null;
    /** As it was before there was room for more than one; null since. */
    old_secret_sealed: string | null;
    old_secret_until: number | null;
    old_secrets_json: string | null;
    /** They hold the receivers' keys. */
    headers_sealed: string;
    body: string | null;
    command_url: string | null;
    command_secret_sealed: string | null;
    filter_json: string;
    metadata_json: string;
    ordered: number;
    enabled: number;
    disabled_reason: string | null;
    /** Why nothing passes its filter any more. */
    problem: string | null;
    failing_since: number | null;
    failures: number | null;
    failing_days: number | null;
    last_failure_at: number | null;
    last_success_at: number | null;
    created_at: number;
    updated_at: number;
  };
  deliveries: {
    id: string;
    project_id: number;
    webhook_id: string;
    event_id: string;
    status: string;
    attempts: number;
    /** When a pending one is due. */
    next_at: number;
    /** The node that is sending it. */
    node_id: string | null;
    /** `<webhook id> <device id>` while it is unfinished and has to keep its turn. */
    order_key: string | null;
    last_status: number | null;
    last_error: string | null;
    created_at: number;
    finished_at: number | null;
  };
  webhook_logs: {
    id: string;
    project_id: number;
    webhook_id: string;
    delivery_id: string | null;
    level: string;
    message: string;
    attempt: number | null;
    status: number | null;
    duration_ms: number | null;
    answer: string | null;
    at: number;
  };
};

export type Tables = SetUpTables & EventTables & AlarmTables;

/** The open database. */
export type Database = Kysely<Tables>;
/** A handle: the database, or a transaction where the caller opened one. */
export type Db = Database | Transaction<Tables>;
export type Row<T extends keyof Tables> = Selectable<Tables[T]>;
export type NewRow<T extends keyof Tables> = Insertable<Tables[T]>;
