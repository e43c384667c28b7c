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
  unique index PRIMARY (id),
  unique index actions_event (project_id, event_id)
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
  index devices_group (group_id, id),
  index devices_project (project_id, id),
  unique index PRIMARY (id),
  unique index devices_name (project_id, name),
  unique index token_hash (token_hash)
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
