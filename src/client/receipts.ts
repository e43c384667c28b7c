/** Receipts on their way to the server: kept until taken, many in one message, one message at a time. */
import type { ReceiptMessage } from '../socket/protocol.ts';
import type { Connection } from './connection.ts';
import type { Keeper, Memory } from './memory.ts';
import { createPause, type Timers, type Timing } from './timing.ts';
import { readAnswer } from './wire.ts';

export type Receipts = {
  /** Takes it in; it goes out with the next `flush`. */
  add: (receipt: ReceiptMessage) => void;
  flush: () => void;
  /** The connection is new: what waited goes at once. */
  up: () => void;
  /** Resolves when none are left, or the time is up. */
  drained: (milliseconds: number) => Promise<void>;
};

const batchReceiptsMax = 200;
const waitingReceiptsMax = 2_000;
/** Refusals that pass; any other says that these receipts are wrong and will stay so. */
const passing: ReadonlySet<string> = new Set(['too_many', 'unavailable']);

export function createReceipts(parts: {
  memory: Memory;
  keeper: Keeper;
  connection: () => Connection;
  timers: Timers;
  timing: Timing;
  random: () => number;
  problem: (error: unknown) => void;
}): Receipts {
  const { timers, timing } = parts;
  const waiting = parts.memory.receipts;
  const pause = createPause(timers, timing, parts.random);
  let drains: (() => void)[] = [];
  let sending = false;
  let inFlight = 0;
  /** After a refused message its receipts go one by one: a bad one takes no other with it. */
  let singles = 0;

  function add(receipt: ReceiptMessage): void {
    const at = waiting.findIndex(({ id }, index) => id === receipt.id && index >= inFlight);
    const said = ({ id, status }: ReceiptMessage) => id === receipt.id && status === receipt.status;
    if (at >= 0) waiting[at] = receipt;
    else if (!waiting.slice(0, inFlight).some(said)) waiting.push(receipt);
    if (waiting.length > waitingReceiptsMax) waiting.splice(inFlight, 1);
  }

  async function send(): Promise<void> {
    const connection = parts.connection();
    while (waiting.length > 0 && connection.online() && !pause.waiting()) {
      const batch = waiting.slice(0, singles > 0 ? 1 : batchReceiptsMax);
      const [first] = batch;
      if (!first) break;
      inFlight = batch.length;
      const answer = readAnswer(
        await connection.ask(timing.answerMs, (socket, take) =>
          socket.emit('receipt', batch.length === 1 ? first : batch, take),
        ),
      );
      inFlight = 0;
      if (answer.kind === 'none' || (answer.kind === 'refused' && passing.has(answer.error.code))) {
        if (connection.online()) pause.rest(flush);
      } else if (answer.kind === 'refused' && batch.length > 1) {
        singles = batch.length;
      } else {
        if (answer.kind === 'refused') {
          parts.problem(
            new Error(`receipt ${first.id} refused: ${answer.error.code} ${answer.error.detail}`),
          );
        }
        waiting.splice(0, batch.length);
        singles = Math.max(0, singles - 1);
        pause.reset();
        parts.keeper.saveLater();
      }
    }
    // In the same turn as the last look at the list: what is added after it starts a new round.
    sending = false;
    if (waiting.length === 0) for (const done of drains) done();
  }

  function flush(): void {
    if (sending || waiting.length === 0) return;
    sending = true;
    void send();
  }

  return {
    add,
    flush,
    up() {
      pause.reset();
      flush();
    },
    drained(milliseconds) {
      if (waiting.length === 0) return Promise.resolve();
      return new Promise((resolve) => {
        const done = () => {
          callOff();
          drains = drains.filter((other) => other !== done);
          resolve();
        };
        const callOff = timers.after(milliseconds, done);
        drains.push(done);
      });
    },
  };
}
