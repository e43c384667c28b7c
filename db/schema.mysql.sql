-- MySQL and MariaDB, after all migrations. Written by "npm run schema".

create table actions (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  event_id varchar(200) collate utf8mb4_bin not null,
  name varchar(200) collate utf8mb4_bin not null,
  steps_json mediumtext collate utf8mb4_bin not null,
  allow_get int not null,
  confirm int not null,
  enabled int not null,
  created_at bigint not null,
  updated_at bigint not null,
  when_json mediumtext collate utf8mb4_bin null,
  unique index PRIMARY (id),
  unique index actions_event (project_id, event_id)
);

create table alarm_rules (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  name varchar(200) collate utf8mb4_bin not null,
  level varchar(10) collate utf8mb4_bin not null,
  type_id varchar(36) collate utf8mb4_bin not null,
  message_type varchar(200) collate utf8mb4_bin not null,
  when_json mediumtext collate utf8mb4_bin not null,
  clear_when_json mediumtext collate utf8mb4_bin null,
  webhooks_json mediumtext collate utf8mb4_bin not null,
  actions_json mediumtext collate utf8mb4_bin not null,
  cooldown_seconds int not null,
  enabled int not null,
  created_at bigint not null,
  updated_at bigint not null,
  problem varchar(500) collate utf8mb4_bin null,
  unique index PRIMARY (id),
  unique index alarm_rules_name (project_id, name)
);

create table alarms (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  rule_id varchar(36) collate utf8mb4_bin not null,
  rule_name varchar(200) collate utf8mb4_bin not null,
  level varchar(10) collate utf8mb4_bin not null,
  device_id bigint not null,
  device_json mediumtext collate utf8mb4_bin not null,
  message_type varchar(200) collate utf8mb4_bin not null,
  observation_json mediumtext collate utf8mb4_bin not null,
  active int not null,
  first_seen bigint not null,
  last_seen bigint not null,
  notified int not null,
  quiet_until bigint not null,
  note mediumtext collate utf8mb4_bin null,
  noted_by varchar(200) collate utf8mb4_bin null,
  noted_at bigint null,
  cleared_by varchar(200) collate utf8mb4_bin null,
  cleared_at bigint null,
  event_id varchar(36) collate utf8mb4_bin null,
  element bigint null,
  cleared_reason varchar(20) collate utf8mb4_bin null,
  webhooks_json varchar(2000) collate utf8mb4_bin null,
  index alarms_active (active, rule_id, device_id),
  index alarms_project (project_id, id),
  index alarms_quiet (active, notified, quiet_until),
  index alarms_rule (rule_id, device_id, id),
  unique index PRIMARY (id)
);

create table audit (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  at bigint not null,
  actor_kind varchar(20) collate utf8mb4_bin not null,
  actor_id varchar(36) collate utf8mb4_bin null,
  actor_name varchar(200) collate utf8mb4_bin not null,
  address varchar(45) collate utf8mb4_bin null,
  change varchar(60) collate utf8mb4_bin not null,
  subject_kind varchar(40) collate utf8mb4_bin not null,
  subject_id varchar(200) collate utf8mb4_bin not null,
  details_json mediumtext collate utf8mb4_bin not null,
  index audit_project (project_id, id),
  unique index PRIMARY (id)
);

create table commands (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  trigger_id varchar(36) collate utf8mb4_bin null,
  source varchar(60) collate utf8mb4_bin null,
  function varchar(60) collate utf8mb4_bin not null,
  slot varchar(20) collate utf8mb4_bin null,
  params_json mediumtext collate utf8mb4_bin not null,
  target_json mediumtext collate utf8mb4_bin not null,
  issued_at bigint not null,
  expires_at bigint null,
  in_force int not null,
  canceled_at bigint null,
  index commands_force (in_force, id),
  index commands_project (project_id, id),
  index commands_trigger (trigger_id),
  unique index PRIMARY (id)
);

create table deliveries (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  webhook_id varchar(36) collate utf8mb4_bin not null,
  event_id varchar(36) collate utf8mb4_bin not null,
  status varchar(10) collate utf8mb4_bin not null,
  attempts int not null,
  next_at bigint not null,
  node_id varchar(36) collate utf8mb4_bin null,
  order_key varchar(60) collate utf8mb4_bin null,
  last_status int null,
  last_error varchar(500) collate utf8mb4_bin null,
  created_at bigint not null,
  finished_at bigint null,
  index deliveries_due (webhook_id, status, next_at),
  index deliveries_event (event_id),
  index deliveries_order (order_key, id),
  index deliveries_webhook (webhook_id, id),
  unique index PRIMARY (id)
);

create table device_tags (
  project_id bigint not null,
  tag varchar(100) collate utf8mb4_bin not null,
  device_id bigint not null,
  index device_tags_device (device_id),
  unique index PRIMARY (project_id, tag, device_id)
);

create table device_types (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  name varchar(200) collate utf8mb4_bin not null,
  message_types_json mediumtext collate utf8mb4_bin not null,
  created_at bigint not null,
  unique index PRIMARY (project_id, id),
  unique index device_types_name (project_id, name)
);

create table devices (
  id bigint not null,
  project_id bigint not null,
  group_id bigint null,
  type_id varchar(36) collate utf8mb4_bin null,
  name varchar(200) collate utf8mb4_bin not null,
  metadata_json mediumtext collate utf8mb4_bin not null,
  token_hash varchar(64) collate utf8mb4_bin not null,
  created_at bigint not null,
  connected_at bigint null,
  last_seen_at bigint null,
  address varchar(45) collate utf8mb4_bin null,
  online_node varchar(36) collate utf8mb4_bin null,
  online_door varchar(10) collate utf8mb4_bin null,
  index devices_group (group_id, id),
  index devices_online (online_node, id),
  index devices_project (project_id, id),
  unique index PRIMARY (id),
  unique index devices_name (project_id, name),
  unique index token_hash (token_hash)
);

create table event_parts (
  event_id varchar(36) collate utf8mb4_bin not null,
  place int not null,
  bytes mediumblob not null,
  unique index PRIMARY (event_id, place)
);

create table events (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  kind varchar(10) collate utf8mb4_bin not null,
  type varchar(200) collate utf8mb4_bin null,
  label varchar(200) collate utf8mb4_bin null,
  device_id bigint null,
  origin_json mediumtext collate utf8mb4_bin not null,
  media_type varchar(200) collate utf8mb4_bin not null,
  body mediumblob null,
  body_bytes bigint not null,
  problem varchar(500) collate utf8mb4_bin null,
  at bigint not null,
  index events_device (device_id, id),
  index events_project (project_id, id),
  unique index PRIMARY (id)
);

create table firings (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  event_id varchar(200) collate utf8mb4_bin not null,
  alarm_id varchar(36) collate utf8mb4_bin not null,
  payload_json mediumtext collate utf8mb4_bin not null,
  unique index PRIMARY (id)
);

create table groups (
  id bigint not null,
  project_id bigint not null,
  parent_id bigint not null,
  name varchar(200) collate utf8mb4_bin not null,
  path varchar(255) collate utf8mb4_bin not null,
  created_at bigint not null,
  index groups_path (project_id, path),
  unique index PRIMARY (id),
  unique index groups_name (project_id, parent_id, name)
);

create table idempotency (
  caller varchar(60) collate utf8mb4_bin not null,
  idempotency_key varchar(255) collate utf8mb4_bin not null,
  call_hash varchar(64) collate utf8mb4_bin not null,
  trigger_id varchar(36) collate utf8mb4_bin not null,
  answer_json mediumtext collate utf8mb4_bin not null,
  created_at bigint not null,
  index idempotency_age (created_at),
  unique index PRIMARY (caller, idempotency_key)
);

create table keys (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  name varchar(200) collate utf8mb4_bin not null,
  prefix varchar(20) collate utf8mb4_bin not null,
  hash varchar(64) collate utf8mb4_bin not null,
  secret_sealed varchar(500) collate utf8mb4_bin not null,
  scopes_json mediumtext collate utf8mb4_bin not null,
  event_ids_json mediumtext collate utf8mb4_bin null,
  allowed_ips_json mediumtext collate utf8mb4_bin null,
  expires_at bigint null,
  enabled int not null,
  last_used_at bigint null,
  created_at bigint not null,
  unique index PRIMARY (id),
  unique index hash (hash),
  unique index keys_name (project_id, name)
);

create table links (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  event_id varchar(200) collate utf8mb4_bin not null,
  token_hash varchar(64) collate utf8mb4_bin not null,
  token_sealed varchar(500) collate utf8mb4_bin not null,
  payload_json mediumtext collate utf8mb4_bin not null,
  expires_at bigint null,
  max_uses int null,
  uses int not null,
  created_at bigint not null,
  index links_project (project_id, id),
  unique index PRIMARY (id),
  unique index token_hash (token_hash)
);

create table nodes (
  id varchar(36) collate utf8mb4_bin not null,
  seen_at bigint not null,
  unique index PRIMARY (id)
);

create table projects (
  id bigint not null,
  name varchar(200) collate utf8mb4_bin not null,
  created_at bigint not null,
  unique index PRIMARY (id),
  unique index name (name)
);

create table pulses (
  project_id bigint not null,
  scope varchar(110) collate utf8mb4_bin not null,
  expires_at bigint not null,
  command_id varchar(36) collate utf8mb4_bin not null,
  index pulses_age (expires_at),
  unique index PRIMARY (project_id, scope, expires_at, command_id)
);

create table receipts (
  command_id varchar(36) collate utf8mb4_bin not null,
  device_id bigint not null,
  status varchar(10) collate utf8mb4_bin not null,
  detail varchar(500) collate utf8mb4_bin null,
  at bigint not null,
  unique index PRIMARY (command_id, device_id, status)
);

create table sequences (
  name varchar(20) collate utf8mb4_bin not null,
  next_value bigint not null,
  unique index PRIMARY (name)
);

create table sessions (
  hash varchar(64) collate utf8mb4_bin not null,
  user_id varchar(36) collate utf8mb4_bin not null,
  expires_at bigint not null,
  created_at bigint not null,
  index sessions_user (user_id),
  unique index PRIMARY (hash)
);

create table settings (
  name varchar(200) collate utf8mb4_bin not null,
  value mediumtext collate utf8mb4_bin not null,
  unique index PRIMARY (name)
);

create table triggers (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  event_id varchar(200) collate utf8mb4_bin not null,
  action_id varchar(36) collate utf8mb4_bin null,
  source varchar(20) collate utf8mb4_bin not null,
  status varchar(20) collate utf8mb4_bin not null,
  reason varchar(500) collate utf8mb4_bin null,
  key_id varchar(36) collate utf8mb4_bin null,
  link_id varchar(36) collate utf8mb4_bin null,
  address varchar(45) collate utf8mb4_bin null,
  user_agent varchar(200) collate utf8mb4_bin null,
  call_json mediumtext collate utf8mb4_bin not null,
  created_at bigint not null,
  warnings_json mediumtext collate utf8mb4_bin null,
  skipped_json mediumtext collate utf8mb4_bin null,
  index triggers_project (project_id, id),
  unique index PRIMARY (id)
);

create table users (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  email varchar(200) collate utf8mb4_bin not null,
  name varchar(200) collate utf8mb4_bin not null,
  role varchar(20) collate utf8mb4_bin not null,
  password_hash varchar(200) collate utf8mb4_bin not null,
  enabled int not null,
  last_login_at bigint null,
  created_at bigint not null,
  index users_project (project_id, id),
  unique index PRIMARY (id),
  unique index email (email)
);

create table webhook_logs (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  webhook_id varchar(36) collate utf8mb4_bin not null,
  delivery_id varchar(36) collate utf8mb4_bin null,
  level varchar(10) collate utf8mb4_bin not null,
  message varchar(500) collate utf8mb4_bin not null,
  attempt int null,
  status int null,
  duration_ms int null,
  answer mediumtext collate utf8mb4_bin null,
  at bigint not null,
  index webhook_logs_delivery (delivery_id),
  index webhook_logs_webhook (webhook_id, id),
  unique index PRIMARY (id)
);

create table webhooks (
  id varchar(36) collate utf8mb4_bin not null,
  project_id bigint not null,
  device_id bigint not null,
  module_id varchar(100) collate utf8mb4_bin null,
  name varchar(254) collate utf8mb4_bin not null,
  description mediumtext collate utf8mb4_bin not null,
  url mediumtext collate utf8mb4_bin not null,
  signature varchar(20) collate utf8mb4_bin not null,
  secret_sealed mediumtext collate utf8mb4_bin null,
  old_secret_sealed mediumtext collate utf8mb4_bin null,
  old_secret_until bigint null,
  headers_sealed mediumtext collate utf8mb4_bin not null,
  body mediumtext collate utf8mb4_bin null,
  command_url mediumtext collate utf8mb4_bin null,
  command_secret_sealed mediumtext collate utf8mb4_bin null,
  filter_json mediumtext collate utf8mb4_bin not null,
  metadata_json mediumtext collate utf8mb4_bin not null,
  ordered int not null,
  enabled int not null,
  disabled_reason varchar(500) collate utf8mb4_bin null,
  failing_since bigint null,
  last_success_at bigint null,
  created_at bigint not null,
  updated_at bigint not null,
  failures int null,
  failing_days int null,
  last_failure_at bigint null,
  old_secrets_json mediumtext collate utf8mb4_bin null,
  problem varchar(500) collate utf8mb4_bin null,
  index webhooks_project (project_id, id),
  unique index PRIMARY (id),
  unique index webhooks_module (project_id, module_id),
  unique index webhooks_name (project_id, device_id, name)
);

create table wills (
  id varchar(36) collate utf8mb4_bin not null,
  device_id bigint not null,
  node_id varchar(36) collate utf8mb4_bin not null,
  what varchar(10) collate utf8mb4_bin not null,
  name varchar(200) collate utf8mb4_bin null,
  bytes mediumblob not null,
  index wills_node (node_id, device_id),
  unique index PRIMARY (id)
);
