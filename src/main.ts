/** The process: the only file that knows its environment, arguments, signals and exit code. */
import { runCli } from './cli.ts';

if (import.meta.main) {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stop.abort());
  }
  process.exitCode = await runCli(process.argv.slice(2), {
    env: process.env,
    signal: stop.signal,
    write: (text) => process.stdout.write(text),
    writeError: (text) => process.stderr.write(text),
  });
}
