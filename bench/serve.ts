/** Fleethook as it is in production, but for the rate limits, ready to be asked. The settings come from the environment. */
import { startApp } from '../src/app.ts';
import { readConfig } from '../src/config.ts';
import { answerAsks } from './child.ts';
import { measures } from './measure.ts';

export type ServeAsks = typeof asks;

const asks = {
  ...measures,
  /** As an address, like the peers': a look-up of the name for every connection would be the load's, not the server's. */
  url: (): string => app.url.replace('//localhost:', '//127.0.0.1:'),
  close: (): Promise<void> => app.close(),
};

const read = readConfig({
  ...process.env,
  PORT: '0',
  HOST: '127.0.0.1',
  LOG_LEVEL: 'warn',
  RATE_LIMIT_TRIGGERS: '0',
  RATE_LIMIT_FAILED_KEYS: '0',
  RATE_LIMIT_API: '0',
});
if ('problems' in read) throw new Error(read.problems.join('\n'));
const app = await startApp({ config: read.config });
answerAsks(asks);
