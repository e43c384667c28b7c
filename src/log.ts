/** The log: one line of JSON a fact, on standard output. Secrets are cut out by name wherever they stand. */
import { type Logger, pino } from 'pino';

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'flush' | 'isLevelEnabled'>;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
export const logLevels: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

const secretNames = ['authorization', 'cookie', 'key', 'api_key', 'apiKey', 'token', 'secret', 'password'];
const secretPaths = secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** `write` takes the lines instead of standard output. */
export function createLog(level: LogLevel, write?: (line: string) => void): Log {
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      paths: [...secretPaths, 'headers["x-webhook-apikey"]', '*.headers["x-webhook-apikey"]'],
      censor: '***',
    },
  };
  // Not synchronous: lines that come while one write is under way go out together with the next.
  return write ? pino(options, { write }) : pino(options, pino.destination({ sync: false }));
}
