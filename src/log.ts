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
  // Buffered: a system call for every line would cost more than the line.
  return write
    ? pino(options, { write })
    : pino(options, pino.destination({ sync: false, minLength: 4_096 }));
}
