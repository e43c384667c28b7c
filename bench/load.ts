/**
 * The load, in a process of its own. The devices are bare WebSockets that speak as much Engine.IO and Socket.IO as
 * is needed and count by the first bytes of a frame, so that a device costs the same whichever server it talks to.
 */
import autocannon from 'autocannon';
import { WebSocket } from 'ws';
import { answerAsks } from './child.ts';
import { createEventAsks } from './events.ts';
import { createTally } from './tally.ts';

export type LoadAsks = typeof asks;

/** A POST that starts one broadcast, or one trigger. */
export type Post = { url: string; headers: Record<string, string>; body: string };
export type Hammered = {
  answered: number;
  /** Answers that were no success, and requests without one. */
  failed: number;
  perSecond: number;
  p50: number;
  p99: number;
};
/** `state` waits for the device's state, `namespace` for the answer to its connect, `open` for the connection. */
export type Dialect = 'state' | 'namespace' | 'open';

const httpConnections = 64;
/** How often autocannon looks whether its time is over. */
const sampleMs = 100;
const connectsInFlight = 200;
/** As many devices as one turn of the event loop would serve. */
const receiptsPerTurn = 250;
const success = '{"message":"success"';

type Device = { socket: WebSocket; lastCommand: string };
let devices: Device[] = [];
let dialect: Dialect = 'open';

const commands = createTally('commands');
const answers = createTally('answers to devices');
let refusals = 0;

// ---------------------------------------------------------------------------------------------- devices

const commandStarts = ['42/devices,["command",', '["command",'];
const ackStarts = ['43/devices,', '["ack",'];

/** Resolves when the device has what it waits for. */
function connectDevice(url: string, token: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const path = dialect === 'open' ? '/' : '/socket.io/?EIO=4&transport=websocket';
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}${path}`, { perMessageDeflate: false });
    const device: Device = { socket, lastCommand: '' };
    devices.push(device);
    socket.on('error', reject);
    socket.on('open', () => dialect === 'open' && resolve());
    socket.on('message', (data: Buffer) => {
      const frame = data.toString('latin1');
      if (commandStarts.some((start) => frame.startsWith(start))) {
        const at = frame.indexOf('"id":"') + 6;
        device.lastCommand = frame.slice(at, at + 36);
        commands.add();
      } else if (ackStarts.some((start) => frame.startsWith(start))) {
        if (!frame.includes('{"ok":true')) refusals += 1;
        answers.add();
      } else if (frame === '2') socket.send('3');
      else if (frame.startsWith('0{')) socket.send(`40/devices,${JSON.stringify({ token })}`);
      else if (frame.startsWith('40/devices')) dialect === 'namespace' && resolve();
      else if (frame.startsWith('42/devices,["state",')) resolve();
      else reject(new Error(`a device was told ${frame.slice(0, 200)}`));
    });
  });
}

function sendReceipt({ socket, lastCommand }: Device, ackId: number): void {
  const receipt = `{"id":"${lastCommand}","status":"applied"}`;
  socket.send(
    dialect === 'open' ? `["receipt",${ackId},${receipt}]` : `42/devices,${ackId}["receipt",${receipt}]`,
  );
}

async function post({ url, headers, body }: Post): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers, body });
  const text = await response.text();
  if (!text.startsWith(success)) throw new Error(`${response.status} ${text}`);
}

let rounds = 0;

const asks = {
  ...createEventAsks(() => devices, answers),

  /** Posts as fast as the answers come. */
  async hammer({ url, headers, body }: Post, seconds: number): Promise<Hammered> {
    const result = await autocannon({
      url,
      method: 'POST',
      headers,
      body,
      duration: seconds,
      connections: httpConnections,
      sampleInt: sampleMs,
      verifyBody: (answer) => String(answer).startsWith(success),
    });
    const { non2xx, errors, timeouts, mismatches, latency, duration } = result;
    const answered = result['2xx'];
    return {
      answered,
      failed: non2xx + errors + timeouts + mismatches,
      perSecond: answered / duration,
      p50: latency.p50,
      p99: latency.p99,
    };
  },

  /** Connects a device for each token; answers the seconds until the last one had what it waits for. */
  async connect(of: { url: string; dialect: Dialect; tokens: string[] }): Promise<number> {
    dialect = of.dialect;
    const left = [...of.tokens];
    const start = performance.now();
    const lane = async () => {
      for (let token = left.pop(); token !== undefined; token = left.pop())
        await connectDevice(of.url, token);
    };
    await Promise.all(Array.from({ length: connectsInFlight }, lane));
    return (performance.now() - start) / 1_000;
  },

  async disconnect(): Promise<void> {
    const closed = devices.map(({ socket }) => new Promise((resolve) => socket.once('close', resolve)));
    for (const { socket } of devices) socket.close();
    await Promise.all(closed);
    devices = [];
  },

  /** Broadcasts that often, each when all devices have heard the one before. */
  async broadcast(of: Post, times: number): Promise<void> {
    for (let round = 0; round < times; round += 1) await commands.more(devices.length, () => post(of));
  },

  /** Every device gives a receipt for the last command; done when all are answered. */
  async receipts(): Promise<void> {
    rounds += 1;
    await answers.more(devices.length, async () => {
      for (const [place, device] of devices.entries()) {
        sendReceipt(device, rounds);
        if (place % receiptsPerTurn === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    });
  },

  heard: (): { commands: number; answers: number; refusals: number } => ({
    commands: commands.count(),
    answers: answers.count(),
    refusals,
  }),
};
answerAsks(asks);
