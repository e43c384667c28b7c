/** The command line: `fleethook serve | demo | simulate | keys | migrate`. */
import { once } from 'node:events';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { openContext, startApp } from './app.ts';
import { type Config, readConfig } from './config.ts';
import { systemCaller } from './domain/access/caller.ts';
import { createKey } from './domain/access/key.ts';
import { getProject } from './domain/access/project.ts';
import { Fault } from './domain/fault.ts';
import { runDemo } from './fleet/demo.ts';
import { runSimulation } from './fleet/simulate.ts';
import { createLog } from './log.ts';

export type Terminal = {
  env: Readonly<Record<string, string | undefined>>;
  /** Aborted when the person or the system wants us to end. */
  signal: AbortSignal;
  write: (text: string) => void;
  writeError: (text: string) => void;
};

/** Runs one command line; answers the exit code: 0 done, 1 failed, 2 not understood. */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await createProgram(terminal).parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    terminal.writeError(`${failureOf(error)}\n`);
    return 1;
  }
}

function createProgram(terminal: Terminal): Command {
  const program = new Command('fleethook')
    .description(
      'Wires the web to fleets of devices, both ways: webhooks in, proven commands out; device events in, signed webhooks out.',
    )
    .exitOverride()
    .configureOutput({ writeOut: terminal.write, writeErr: terminal.writeError })
    .showHelpAfterError('(--help says what there is)');

  program
    .command('serve')
    .description('start the server; its settings come from the environment (see README)')
    .action(() => serve(terminal));

  program
    .command('demo')
    .description('start a server with a fleet of 24 devices to play with')
    .action(() =>
      runDemo({
        config: configOf(terminal, {
          DATA_DIR: './data/demo',
          LOG_LEVEL: 'warn',
          // The demo's receiver is on this machine.
          WEBHOOK_ALLOW_NETWORKS: '127.0.0.1',
        }),
        signal: terminal.signal,
        say: (line) => terminal.write(`${line}\n`),
      }),
    );

  program
    .command('simulate')
    .description('connect many devices from this process to a server that runs')
    .requiredOption('--devices <count>', 'how many', wholeNumber)
    .option('--url <url>', 'the server', 'http://localhost:8080')
    .addOption(
      new Option('--key <key>', 'a key with the scope manage, to enrol the devices')
        .env('FLEETHOOK_ADMIN_KEY')
        .makeOptionMandatory(),
    )
    .option('--prefix <name>', 'the devices are called <name>-1 and so on', 'sim')
    .option('--chaos', 'cut connections, dawdle, fail at times, send garbage', false)
    .option('--apply-ms <ms>', 'how long a device takes to apply something', wholeNumber, 0)
    .option('--for <seconds>', 'end after that time instead of Ctrl-C', wholeNumber)
    .action((options: SimulateOptions) =>
      runSimulation({
        ...options,
        seconds: options.for ?? null,
        applyMilliseconds: options.applyMs,
        signal: terminal.signal,
        say: (line) => terminal.write(`${line}\n`),
      }),
    );

  const keys = program.command('keys').description('API keys');
  keys
    .command('create')
    .description('make a key and print it')
    .requiredOption('--name <name>', 'what it is for')
    .requiredOption(
      '--scopes <list>',
      'trigger, read, manage, publish, command, admin; parted by commas',
      list,
    )
    .option('--event-ids <list>', 'fires these actions alone', list)
    .option('--allowed-ips <list>', 'is good from these addresses and networks alone', list)
    .option('--expires-at <instant>', 'ends then, as in 2030-01-31T00:00:00Z')
    .option('--project <id>', 'belongs to this project', wholeNumber, 1)
    .action((options: KeyOptions) => makeKey(terminal, options));

  program
    .command('migrate')
    .description('bring the schema of the database up to date (serve does it too)')
    .action(() => migrate(terminal));

  return program;
}

type SimulateOptions = {
  devices: number;
  url: string;
  key: string;
  prefix: string;
  chaos: boolean;
  applyMs: number;
  for?: number;
};

type KeyOptions = {
  name: string;
  scopes: string[];
  eventIds?: string[];
  allowedIps?: string[];
  expiresAt?: string;
  project: number;
};

async function serve(terminal: Terminal): Promise<void> {
  const { signal } = terminal;
  try {
    const app = await startApp({ config: configOf(terminal), signal });
    if (!signal.aborted) await once(signal, 'abort');
    await app.close();
  } catch (error) {
    // Told to end while it was still waiting for the database: then that is no failure.
    if (!signal.aborted) throw error;
  }
}

async function makeKey(terminal: Terminal, options: KeyOptions): Promise<void> {
  const config = configOf(terminal, { LOG_LEVEL: 'warn' });
  await using opened = await openContext({ config, signal: terminal.signal });
  await getProject(opened.ctx, options.project);
  const made = await createKey(opened.ctx, systemCaller(options.project, 'command line'), {
    name: options.name,
    scopes: options.scopes,
    event_ids: options.eventIds,
    allowed_ips: options.allowedIps,
    expires_at: options.expiresAt,
  });
  terminal.write(`${made.key}\n`);
}

async function migrate(terminal: Terminal): Promise<void> {
  const log = createLog('warn', terminal.writeError);
  await using opened = await openContext({ config: configOf(terminal), log, signal: terminal.signal });
  const { applied } = opened;
  terminal.write(applied.length > 0 ? `applied: ${applied.join(', ')}\n` : 'the schema is up to date\n');
}

/** The settings; `fallbacks` stand in for variables that are not set. Throws with every problem. */
function configOf(terminal: Terminal, fallbacks: Record<string, string> = {}): Config {
  const given = Object.fromEntries(Object.entries(terminal.env).filter(([, value]) => value));
  const read = readConfig({ ...fallbacks, ...given });
  if ('config' in read) return read.config;
  throw new Fault(
    'bad_request',
    ['The settings need mending:', ...read.problems.map((line) => `  ${line}`)].join('\n'),
  );
}

/** What went wrong, in a line where we know it, with its stack where we don't. */
function failureOf(error: unknown): string {
  if (error instanceof Fault) return error.message;
  if (!(error instanceof Error)) return String(error);
  const { code, port, setting = 'PORT' } = error as { code?: unknown; port?: unknown; setting?: string };
  if (code === 'EADDRINUSE') {
    const other = setting === 'PORT' ? 8090 : 1884;
    return `port ${port} is taken: set ${setting} to another one, such as ${setting}=${other}`;
  }
  if (code === 'EACCES' && port !== undefined)
    return `port ${port} is not allowed: set ${setting} to one above 1023`;
  return error.stack ?? error.message;
}

function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('it must be a whole number');
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}
