/** The settings: one pure function from the environment to a frozen value. All problems are told at once. */
import { join } from 'node:path';
import { type LogLevel, logLevels } from './log.ts';
import { readNetwork } from './network.ts';

export type Config = {
  port: number;
  host: string;
  /** Without a slash at the end; null means `http://localhost:<port>`. */
  publicUrl: string | null;
  databaseUrl: string;
  dataDir: string;
  adminKey: string | null;
  secret: string | null;
  /** As Express takes it: hops, or the proxies' addresses and networks. */
  trustProxy: boolean | number | string[];
  /** The pages that may fire triggers from a browser, as browsers write origins; "*" is every one. */
  corsOrigins: string[];
  /** How long a connection that is not used stays open. */
  keepAliveSeconds: number;
  logLevel: LogLevel;
  /** Triggers, commands, events and what came of them; 0 for ever, as of the next one. */
  retainDays: number;
  /** How long the logs of webhooks are kept, with the answers of receivers. */
  retainLogDays: number;
  /** Null when MQTT is off. */
  mqttPort: number | null;
  /** PEM files; with them the MQTT port speaks TLS. */
  mqttTls: { certFile: string; keyFile: string } | null;
  /** Addresses and networks that webhooks may reach although they are not public. */
  webhookAllowNetworks: string[];
  /** Settings that were given and that this version has no use for yet. */
  unused: string[];
  /** Per minute; 0 turns one off. */
  limits: { triggers: number; failedKeys: number; api: number };
};

/** Known to the contract, and without effect until what they set is built. */
const settingsToCome = ['REDIS_URL'];
const portDefault = 8080;
const portMax = 65_535;
const adminKeyMin = 24;
const secretMin = 16;
/** Above what load balancers keep a connection for, so that none sends a request into one that is being closed. */
const keepAliveSecondsDefault = 75;
const keepAliveSecondsMax = 3_600;
const retainDaysDefault = 30;
const retainDaysMax = 3_650;
const retainLogDaysDefault = 7;
const limitMax = 10_000_000;
/** A fleet of screens and a few callers stay far below; a loop gone wild does not. */
const triggersPerMinute = 600;
const failedKeysPerMinute = 30;
const apiCallsPerMinute = 1_200;

type Environment = Readonly<Record<string, string | undefined>>;

/** The config, or every problem of the environment, a line each. An empty variable counts as not set. */
export function readConfig(env: Environment): { config: Config } | { problems: string[] } {
  const problems: string[] = [];
  const text = (name: string) => env[name]?.trim() || null;

  function whole(name: string, fallback: number, max: number, min = 0): number {
    const given = text(name);
    if (given === null) return fallback;
    const value = Number(given);
    if (/^\d+$/.test(given) && value >= min && value <= max) return value;
    problems.push(`${name} must be a whole number from ${min} to ${max}, not "${given}"`);
    return fallback;
  }

  const dataDir = text('DATA_DIR') ?? './data';
  const databaseUrl = text('DATABASE_URL') ?? `sqlite:${join(dataDir, 'fleethook.db')}`;
  if (!/^sqlite:.+/.test(databaseUrl) && !isMysqlUrl(databaseUrl)) {
    problems.push('DATABASE_URL must be sqlite:<path> or mysql://user:password@host/database');
  }
  const publicUrl = text('PUBLIC_URL');
  if (publicUrl !== null && !isHttpUrl(publicUrl)) {
    problems.push(`PUBLIC_URL must be an http or https URL, not "${publicUrl}"`);
  }
  const adminKey = text('FLEETHOOK_ADMIN_KEY');
  if (adminKey !== null && adminKey.length < adminKeyMin) {
    problems.push(`FLEETHOOK_ADMIN_KEY must have ${adminKeyMin} characters or more`);
  }
  const secret = text('FLEETHOOK_SECRET');
  if (secret !== null && secret.length < secretMin) {
    problems.push(`FLEETHOOK_SECRET must have ${secretMin} characters or more`);
  }
  const level = text('LOG_LEVEL') ?? 'info';
  const logLevel = logLevels.find((known) => known === level);
  if (!logLevel) problems.push(`LOG_LEVEL must be one of ${logLevels.join(', ')}, not "${level}"`);

  const mqttPort = whole('MQTT_PORT', 0, portMax);
  const [certFile, keyFile] = [text('MQTT_TLS_CERT'), text('MQTT_TLS_KEY')];
  if ((certFile === null) !== (keyFile === null))
    problems.push('MQTT_TLS_CERT and MQTT_TLS_KEY belong together: give both or none');

  const config: Config = {
    port: whole('PORT', portDefault, portMax),
    host: text('HOST') ?? '0.0.0.0',
    publicUrl: publicUrl?.replace(/\/+$/, '') ?? null,
    databaseUrl,
    dataDir,
    adminKey,
    secret,
    trustProxy: readTrustProxy(text('TRUST_PROXY'), problems),
    corsOrigins: readOrigins(text('CORS_ORIGINS'), problems),
    keepAliveSeconds: whole('KEEP_ALIVE_SECONDS', keepAliveSecondsDefault, keepAliveSecondsMax, 1),
    logLevel: logLevel ?? 'info',
    retainDays: whole('RETAIN_DAYS', retainDaysDefault, retainDaysMax),
    retainLogDays: whole('RETAIN_LOG_DAYS', retainLogDaysDefault, retainDaysMax),
    mqttPort: mqttPort === 0 ? null : mqttPort,
    mqttTls: certFile !== null && keyFile !== null ? { certFile, keyFile } : null,
    webhookAllowNetworks: readNetworks(text('WEBHOOK_ALLOW_NETWORKS'), problems),
    unused: settingsToCome.filter((name) => text(name) !== null),
    limits: {
      triggers: whole('RATE_LIMIT_TRIGGERS', triggersPerMinute, limitMax),
      failedKeys: whole('RATE_LIMIT_FAILED_KEYS', failedKeysPerMinute, limitMax),
      api: whole('RATE_LIMIT_API', apiCallsPerMinute, limitMax),
    },
  };
  return problems.length > 0 ? { problems } : { config: Object.freeze(config) };
}

const proxyNames = ['loopback', 'linklocal', 'uniquelocal'];

function readTrustProxy(given: string | null, problems: string[]): Config['trustProxy'] {
  if (given === null || given === 'false' || given === '0') return false;
  if (given === 'true') return true;
  if (/^\d{1,2}$/.test(given)) return Number(given);
  const parts = given.split(',').map((part) => part.trim());
  const isProxy = (part: string) => proxyNames.includes(part) || readNetwork(part) !== null;
  if (!parts.every(isProxy)) {
    problems.push(`TRUST_PROXY must be a number of hops, or addresses and networks, not "${given}"`);
    return false;
  }
  return parts;
}

function listOf(given: string | null): string[] {
  return (given ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

function readOrigins(given: string | null, problems: string[]): string[] {
  const parts = listOf(given);
  const wrong = parts.filter((part) => part !== '*' && !isOrigin(part));
  if (wrong.length > 0) {
    problems.push(
      `CORS_ORIGINS must be "*" or origins such as https://intranet.example, not "${wrong.join(', ')}"`,
    );
    return [];
  }
  return parts.map((part) => (part === '*' ? part : new URL(part).origin));
}

/** A scheme, a host and perhaps a port, and nothing behind them. */
function isOrigin(text: string): boolean {
  if (!isHttpUrl(text) || text.includes('*')) return false;
  const { href, origin } = new URL(text);
  return href === `${origin}/` && !text.endsWith('?') && !text.endsWith('#');
}

function readNetworks(given: string | null, problems: string[]): string[] {
  const parts = listOf(given);
  const wrong = parts.filter((part) => readNetwork(part) === null);
  if (wrong.length > 0) {
    problems.push(
      `WEBHOOK_ALLOW_NETWORKS must be addresses and networks such as 10.0.0.0/8, not "${wrong.join(', ')}"`,
    );
  }
  return parts;
}

function isMysqlUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, pathname } = new URL(text);
  return protocol === 'mysql:' && hostname !== '' && pathname.length > 1;
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}
