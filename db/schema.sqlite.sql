-- SQLite, after all migrations. Written by "npm run schema".

create table actions (
  id varchar(36) null,
  project_id bigint not null,
  event_id varchar(200) not null,
  name varchar(200) not null,
  steps_json mediumtext not null,
  allow_get integer not null,
  confirm integer not null,
  enabled integer not null,
  created_at bigint not null,
  updated_at bigint not null,
  when_json mediumtext null,
  unique index (id),
  unique index (project_id, event_id)
);

create table alarm_rules (
  id varchar(36) null,
  project_id bigint not null,
  name varchar(200) not null,
  level varchar(10) not null,
  type_id varchar(36) not null,
  message_type varchar(200) not null,
  when_json mediumtext not null,
  clear_when_json mediumtext null,
  webhooks_json mediumtext not null,
  actions_json mediumtext not null,
  cooldown_seconds integer not null,
  enabled integer not null,
  created_at bigint not null,
  updated_at bigint not null,
  problem varchar(500) null,
  unique index (id),
  unique index (project_id, name)
);

create table alarms (
  id varchar(36) null,
  project_id bigint not null,
  rule_id varchar(36) not null,
  rule_name varchar(200) not null,
  level varchar(10) not null,
  device_id bigint not null,
  device_json mediumtext not null,
  message_type varchar(200) not null,
  observation_json mediumtext not null,
  active integer not null,
  first_seen bigint not null,
  last_seen bigint not null,
  notified integer not null,
  quiet_until bigint not null,
  note mediumtext null,
  noted_by varchar(200) null,
  noted_at bigint null,
  cleared_by varchar(200) null,
  cleared_at bigint null,
  event_id varchar(36) null,
  element bigint null,
  cleared_reason varchar(20) null,
  webhooks_json varchar(2000) null,
  index alarms_active (active, rule_id, device_id),
  index alarms_project (project_id, id),
  index alarms_quiet (active, notified, quiet_until),
  index alarms_rule (rule_id, device_id, id),
  unique index (id)
);

create table audit (
  id varchar(36) null,
  project_id bigint not null,
  at bigint not null,
  actor_kind varchar(20) not null,
  actor_id varchar(36) null,
  actor_name varchar(200) not null,
  address varchar(45) null,
  change varchar(60) not null,
  subject_kind varchar(40) not null,
  subject_id varchar(200) not null,
  details_json mediumtext not null,
  index audit_project (project_id, id),
  unique index (id)
);

create table commands (
  id varchar(36) null,
  project_id bigint not null,
  trigger_id varchar(36) null,
  source varchar(60) null,
  function varchar(60) not null,
  slot varchar(20) null,
  params_json mediumtext not null,
  target_json mediumtext not null,
  issued_at bigint not null,
  expires_at bigint null,
  in_force integer not null,
  canceled_at bigint null,
  index commands_force (in_force, id),
  index commands_project (project_id, id),
  index commands_trigger (trigger_id),
  unique index (id)
);

create table deliveries (
  id varchar(36) null,
  project_id bigint not null,
  webhook_id varchar(36) not null,
  event_id varchar(36) not null,
  status varchar(10) not null,
  attempts integer not null,
  next_at bigint not null,
  node_id varchar(36) null,
  order_key varchar(60) null,
  last_status integer null,
  last_error varchar(500) null,
  created_at bigint not null,
  finished_at bigint null,
  index deliveries_due (webhook_id, status, next_at),
  index deliveries_event (event_id),
  index deliveries_order (order_key, id),
  index deliveries_webhook (webhook_id, id),
  unique index (id)
);

create table device_tags (
  project_id bigint not null,
  tag varchar(100) not null,
  device_id bigint not null,
  index device_tags_device (device_id),
  unique index (project_id, tag, device_id)
);

create table device_types (
  id varchar(36) not null,
  project_id bigint not null,
  name varchar(200) not null,
  message_types_json mediumtext not null,
  created_at bigint not null,
  unique index (project_id, id),
  unique index (project_id, name)
);

create table devices (
  id bigint null,
  project_id bigint not null,
  group_id bigint null,
  type_id varchar(36) null,
  name varchar(200) not null,
  metadata_json mediumtext not null,
  token_hash varchar(64) not null,
  created_at bigint not null,
  connected_at bigint null,
  last_seen_at bigint null,
  address varchar(45) null,
  online_node varchar(36) null,
  online_door varchar(10) null,
  index devices_group (group_id, id),
  index devices_online (online_node, id),
  index devices_project (project_id, id),
  unique index (id),
  unique index (project_id, name),
  unique index (token_hash)
);

create table event_parts (
  event_id varchar(36) not null,
  place integer not null,
  bytes mediumblob not null,
  unique index (event_id, place)
);

create table events (
  id varchar(36) null,
  project_id bigint not null,
  kind varchar(10) not null,
  type varchar(200) null,
  label varchar(200) null,
  device_id bigint null,
  origin_json mediumtext not null,
  media_type varchar(200) not null,
  body mediumblob null,
  body_bytes bigint not null,
  problem varchar(500) null,
  at bigint not null,
  index events_device (device_id, id),
  index events_project (project_id, id),
  unique index (id)
);

create table firings (
  id varchar(36) null,
  project_id bigint not null,
  event_id varchar(200) not null,
  alarm_id varchar(36) not null,
  payload_json mediumtext not null,
  unique index (id)
);

create table groups (
  id bigint null,
  project_id bigint not null,
  parent_id bigint not null,
  name varchar(200) not null,
  path varchar(255) not null,
  created_at bigint not null,
  index groups_path (project_id, path),
  unique index (id),
  unique index (project_id, parent_id, name)
);

create table idempotency (
  caller varchar(60) not null,
  idempotency_key varchar(255) not null,
  call_hash varchar(64) not null,
  trigger_id varchar(36) not null,
  answer_json mediumtext not null,
  created_at bigint not null,
  index idempotency_age (created_at),
  unique index (caller, idempotency_key)
);

create table keys (
  id varchar(36) null,
  project_id bigint not null,
  name varchar(200) not null,
  prefix varchar(20) not null,
  hash varchar(64) not null,
  secret_sealed varchar(500) not null,
  scopes_json mediumtext not null,
  event_ids_json mediumtext null,
  allowed_ips_json mediumtext null,
  expires_at bigint null,
  enabled integer not null,
  last_used_at bigint null,
  created_at bigint not null,
  unique index (hash),
  unique index (id),
  unique index (project_id, name)
);

create table links (
  id varchar(36) null,
  project_id bigint not null,
  event_id varchar(200) not null,
  token_hash varchar(64) not null,
  token_sealed varchar(500) not null,
  payload_json mediumtext not null,
  expires_at bigint null,
  max_uses integer null,
  uses integer not null,
  created_at bigint not null,
  index links_project (project_id, id),
  unique index (id),
  unique index (token_hash)
);

create table nodes (
  id varchar(36) null,
  seen_at bigint not null,
  unique index (id)
);

create table projects (
  id bigint null,
  name varchar(200) not null,
  created_at bigint not null,
  unique index (id),
  unique index (name)
);

create table pulses (
  project_id bigint not null,
  scope varchar(110) not null,
  expires_at bigint not null,
  command_id varchar(36) not null,
  index pulses_age (expires_at),
  unique index (project_id, scope, expires_at, command_id)
);

create table receipts (
  command_id varchar(36) not null,
  device_id bigint not null,
  status varchar(10) not null,
  detail varchar(500) null,
  at bigint not null,
  unique index (command_id, device_id, status)
);

create table sequences (
  name varchar(20) null,
  next_value bigint not null,
  unique index (name)
);

create table sessions (
  hash varchar(64) null,
  user_id varchar(36) not null,
  expires_at bigint not null,
  created_at bigint not null,
  index sessions_user (user_id),
  unique index (hash)
);

create table settings (
  name varchar(200) null,
  value mediumtext not null,
  unique index (name)
);

create table triggers (
  id varchar(36) null,
  project_id bigint not null,
  event_id varchar(200) not null,
  action_id varchar(36) null,
  source varchar(20) not null,
  status varchar(20) not null,
  reason varchar(500) null,
  key_id varchar(36) null,
  link_id varchar(36) null,
  address varchar(45) null,
  user_agent varchar(200) null,
  call_json mediumtext not null,
  created_at bigint not null,
  warnings_json mediumtext null,
  skipped_json mediumtext null,
  index triggers_project (project_id, id),
  unique index (id)
);

create table users (
  id varchar(36) null,
  project_id bigint not null,
  email varchar(200) not null,
  name varchar(200) not null,
  role varchar(20) not null,
  password_hash varchar(200) not null,
  enabled integer not null,
  last_login_at bigint null,
  created_at bigint not null,
  index users_project (project_id, id),
  unique index (email),
  unique index (id)
);

create table webhook_logs (
  id varchar(36) null,
  project_id bigint not null,
  webhook_id varchar(36) not null,
  delivery_id varchar(36) null,
  level varchar(10) not null,
  message varchar(500) not null,
  attempt integer null,
  status integer null,
  duration_ms integer null,
  answer mediumtext null,
  at bigint not null,
  index webhook_logs_delivery (delivery_id),
  index webhook_logs_webhook (webhook_id, id),
  unique index (id)
);

create table webhooks (
  id varchar(36) null,
  project_id bigint not null,
  device_id bigint not null,
  module_id varchar(100) null,
  name varchar(254) not null,
  description mediumtext not null,
  url mediumtext not null,
  signature varchar(20) not null,
  secret_sealed mediumtext null,
  old_secret_sealed mediumtext null,
  old_secret_until bigint null,
  headers_sealed mediumtext not null,
  body mediumtext null,
  command_url mediumtext null,
  command_secret_sealed mediumtext null,
  filter_json mediumtext not null,
  metadata_json mediumtext not null,
  ordered integer not null,
  enabled integer not null,
  disabled_reason varchar(500) null,
  failing_since bigint null,
  last_success_at bigint null,
  created_at bigint not null,
  updated_at bigint not null,
  failures integer null,
  failing_days integer null,
  last_failure_at bigint null,
  old_secrets_json mediumtext null,
  problem varchar(500) null,
  index webhooks_project (project_id, id),
  unique index (id),
  unique index (project_id, device_id, name),
  unique index (project_id, module_id)
);

create table wills (
  id varchar(36) null,
  device_id bigint not null,
  node_id varchar(36) not null,
  what varchar(10) not null,
  name varchar(200) null,
  bytes mediumblob not null,
  index wills_node (node_id, device_id),
  unique index (id)
);
