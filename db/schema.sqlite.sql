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
  unique index (id),
  unique index (project_id, event_id)
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
  index devices_group (group_id, id),
  index devices_project (project_id, id),
  unique index (id),
  unique index (project_id, name),
  unique index (token_hash)
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
