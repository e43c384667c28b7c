/** A device over MQTT 3.1.1: its user name is its id, its password its token. */

import { setTimeout as sleep, setImmediate as turnOfLoop } from 'node:timers/promises';
import type { Client, PublishPacket, Subscription } from 'aedes';
import { noteReceived, takeReceipts } from '../domain/command/receipt.ts';
import type { Context } from '../domain/context.ts';
import { authenticateDevice } from '../domain/device/connection.ts';
import type { Door, Outgoing } from '../domain/device/presence.ts';
import { createSession } from '../domain/device/session.ts';
import type { Sender } from '../domain/event/origin.ts';
import { Fault } from '../domain/fault.ts';
import { publishBulk, publishEventJson, publishMessageBytes } from '../domain/intake/publish.ts';
import { keepWill } from '../domain/intake/will.ts';
import { readJson } from '../domain/json.ts';
import { withoutDatabase } from '../domain/readiness.ts';
import type { Flow } from './flow.ts';
import { type Heard, isHeard, isSaid, parseTopic, type Said, type Topic } from './topic.ts';

/** What a device has published gets this long to be stored when the server ends. */
const drainMsMax = 5_000;
/** How long a connection that another has replaced may take to end. */
const replacedMsMax = 1_000;
/** Commands whose acknowledgement is waited for; of a device that never gives one, the oldest are forgotten. */
const unacknowledgedMax = 1_000;
/** Of a packet's number (MQTT 3.1.1 §2.3.1). */
const packetNumberMax = 65_535;
/** Of a topic that is refused, for the log. */
const topicCharactersMax = 100;

export type MqttDevice = {
  /** Decides on the CONNECT; the device is online from then on. Answers its id. Throws a `Fault`. */
  authenticate(
    username: string | undefined,
    password: Buffer | undefined,
    will?: Publication,
  ): Promise<number>;
  /** Resolves when it is stored, or is refused for good; throws when the connection has to end without an answer. */
  publish(packet: Publication): Promise<void>;
  /** Whether the device may subscribe to that. */
  mayHear(topic: string): boolean;
  subscribed(subscriptions: readonly Subscription[]): void;
  unsubscribed(topics: readonly string[]): void;
  /** Says in the log why the connection ends: the first reason alone, since the others follow from it. */
  report(error: Error, level?: 'debug' | 'warn'): void;
  /** Ends the connection, with its will. */
  drop(): void;
  /** The device has no right to be here any more: nothing it said is listened to from now on. */
  revoke(): void;
  /** Ends the connection when what was published is stored and acknowledged. */
  drain(): Promise<void>;
  /** The connection is gone. */
  onClose(): void;
  /** What is sent to this device; a command with its id. */
  deliver(event: Heard, payload: Buffer, commandId: string | null): void;
  /** The number of the packet that `deliver` is about to send. */
  packetNumber(): number;
  /** The device has acknowledged the packet of this number: a command has been received. */
  acknowledged(packetNumber: number): void;
  hears(event: Heard): boolean;
};

/** What a device publishes, a will included. */
type Publication = Pick<PublishPacket, 'topic' | 'payload'>;

/** Encodes once for all who have subscribed; the topic is each device's own. */
export const mqttDoor: Door = {
  name: 'mqtt',
  deliver(connections, outgoing) {
    let payload: Buffer | undefined;
    for (const connection of connections) {
      const device = connection.handle as MqttDevice;
      if (!device.hears(outgoing.event)) continue;
      payload ??= Buffer.from(JSON.stringify(encode(outgoing)));
      device.deliver(outgoing.event, payload, outgoing.event === 'command' ? outgoing.message.id : null);
    }
  },
  disconnect: (connection) => (connection.handle as MqttDevice).revoke(),
  // MQTT 3.1.1 has no question to ask; a connection that a new one of the same name replaces is gone by then.
  isAlive: () => sleep(replacedMsMax, true, { ref: false }),
};

/** Commands carry the names that MODE has for what to do, besides ours. */
function encode({ event, message }: Outgoing): unknown {
  if (event === 'state') return message;
  const { function: name, params } = message;
  return name === 'custom'
    ? { ...message, action: params.action, parameters: params.parameters }
    : { ...message, action: name, parameters: params };
}

export function createMqttDevice(
  ctx: Context,
  { client, flow, address }: { client: Client; flow: Flow; address: string | null },
): MqttDevice {
  const subscriptions = new Map<Heard, { topic: string; qos: 0 | 1 }>();
  const unacknowledged = new Map<number, string>();
  let packetNumber = 0;
  let isRevoked = false;
  let isClosed = false;
  let willId: string | null = null;
  let isReported = false;
  /** Messages begin one after the other, are stored side by side, and are acknowledged in order (§4.6). */
  let answered: Promise<unknown> = Promise.resolve();

  const deviceId = () => session.speaker()?.device.id;
  const own = (topic: string): Topic | null => {
    const parsed = parseTopic(topic);
    return parsed && parsed.deviceId === deviceId() ? parsed : null;
  };

  function report(error: Error, level: 'debug' | 'warn' = 'warn'): void {
    if (isReported) return;
    isReported = true;
    const { code } = error as { code?: unknown };
    const about = { device: deviceId(), address, code, detail: error.message };
    ctx.log[level](about, 'the MQTT connection of a device ends');
  }

  async function store(sender: Sender, { topic, payload }: Publication): Promise<void> {
    const said = own(topic);
    if (!said || !isSaid(said)) throw foreign(topic);
    if (isRevoked) throw new Fault('bad_token', 'the token is not valid any more');
    try {
      await take(ctx, sender, said, typeof payload === 'string' ? Buffer.from(payload) : payload);
    } catch (thrown) {
      const error = withoutDatabase(thrown);
      if (!(error instanceof Fault) || error.code === 'unavailable') throw error;
      // MQTT 3.1.1 has no way to refuse a message: without an answer the device would send it again for ever.
      const { code, message: detail } = error;
      ctx.log.warn(
        { device: sender.device.id, topic: said.what, code, detail },
        'a message of a device was refused',
      );
    }
  }

  /** Receipts have no need to be said for a device that is gone. */
  function keepWillOf(id: number, { what, name }: Topic, payload: Publication['payload']): string | null {
    if (what !== 'event' && what !== 'bulk' && what !== 'message') return null;
    return keepWill(ctx, id, {
      what,
      name,
      bytes: typeof payload === 'string' ? Buffer.from(payload) : payload,
    });
  }

  const self: MqttDevice = {
    async authenticate(username, password, will) {
      const device = await authenticateDevice(ctx, password?.toString());
      if (String(device.id) !== username)
        throw new Fault('bad_token', 'the user name is not the id of the device');
      const said = will && parseTopic(will.topic);
      if (will && !(said && said.deviceId === device.id && isSaid(said))) throw foreign(will.topic);
      await session.open(device);
      if (said && !isClosed) willId = keepWillOf(device.id, said, will.payload);
      return device.id;
    },
    async publish(packet) {
      const stored = session.hear(packet.payload.length, (sender) => store(sender, packet));
      const before = answered;
      answered = Promise.allSettled([before, stored]);
      await before;
      await stored;
    },
    mayHear(topic) {
      const heard = own(topic);
      if (heard && isHeard(heard)) return true;
      const shown = topic.slice(0, topicCharactersMax);
      ctx.log.warn({ device: deviceId(), topic: shown }, 'a subscription of a device was refused');
      return false;
    },
    subscribed(granted) {
      const asked = new Set<Heard>();
      for (const { topic, qos } of granted) {
        const heard = own(topic);
        if (!heard || !isHeard(heard) || Number(qos) > 2) continue;
        subscriptions.set(heard.what, { topic, qos: qos === 0 ? 0 : 1 });
        asked.add(heard.what);
      }
      if (asked.size > 0) session.catchUp([...asked]);
    },
    unsubscribed(topics) {
      for (const [what, { topic }] of subscriptions) if (topics.includes(topic)) subscriptions.delete(what);
    },
    report,
    drop: () => client.close(),
    revoke() {
      isRevoked = true;
      client.close();
    },
    async drain() {
      flow.stop();
      await Promise.race([answered, sleep(drainMsMax, undefined, { ref: false })]);
      await turnOfLoop(); // by then the acknowledgement is written
      // A server that goes down is no reason to believe that the device is gone.
      self.revoke();
    },
    onClose() {
      isClosed = true;
      session.gone();
      if (willId !== null) ctx.queues.sightings.willDone(willId);
    },
    hears: (event) => subscriptions.has(event),
    deliver(event, payload, commandId) {
      const subscription = subscriptions.get(event);
      if (!subscription) return;
      packetNumber = (packetNumber % packetNumberMax) + 1;
      unacknowledged.delete(packetNumber);
      if (commandId !== null && subscription.qos > 0) {
        unacknowledged.set(packetNumber, commandId);
        const [oldest = 0] = unacknowledged.keys();
        if (unacknowledged.size > unacknowledgedMax) unacknowledged.delete(oldest);
      }
      const packet = { cmd: 'publish', ...subscription, payload, dup: false, retain: false } as const;
      client.publish(packet, () => undefined); // it wants to be heard out, even when there is nothing to say
    },
    packetNumber: () => packetNumber,
    acknowledged(number) {
      const commandId = unacknowledged.get(number);
      unacknowledged.delete(number);
      const speaker = session.speaker();
      if (speaker && commandId !== undefined && !isRevoked) noteReceived(ctx, speaker.device, commandId);
    },
  };
  const session = createSession(ctx, {
    door: mqttDoor,
    handle: self,
    address,
    instance: null,
    tooFast: 'wait',
    drop: self.drop,
  });
  return self;
}

function foreign(topic: string): Fault {
  return new Fault(
    'not_allowed',
    `"${topic.slice(0, topicCharactersMax)}" is not for this device to publish to`,
  );
}

async function take(
  ctx: Context,
  sender: Sender,
  said: { what: Said; name: string | null },
  bytes: Uint8Array,
): Promise<void> {
  if (said.what === 'event') await publishEventJson(ctx, sender, bytes);
  else if (said.what === 'bulk') await publishBulk(ctx, sender, said.name, bytes);
  else if (said.what === 'message')
    await publishMessageBytes(ctx, sender, { type: said.name, mediaType: null, bytes });
  else await takeReceipts(ctx, sender.device, readJson(bytes, { isLenient: true }));
}
