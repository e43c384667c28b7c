/** The broker library, and who may do what with it. No message passes through it from one device to another. */
import { randomUUID } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { Aedes, type AuthenticateError, type Client } from 'aedes';
import type { Context } from '../domain/context.ts';
import { explained } from '../domain/device/session.ts';
import { Fault } from '../domain/fault.ts';
import { createMqttDevice, type MqttDevice } from './device.ts';
import { createFlow, type Flow } from './flow.ts';

/** CONNACK's return codes (MQTT 3.1.1 §3.2.2.3). */
const serverUnavailable = 3;
const badUserNameOrPassword = 4;
const notAuthorized = 5;

const connectTimeoutMs = 30_000;
/** A device that takes nothing for so long is sent away. */
const drainTimeoutMs = 60_000;
/** No limit: version 3.1 has 23 characters, which are not all there for what we make of the id. */
const clientIdCharactersMax = 65_535;

export type Broker = {
  /** Serves what speaks on this socket. */
  take(socket: Duplex, address: string | null): void;
  close(): Promise<void>;
};

/** What is known of a connection; the wishes of its CONNECT as they came. */
type Link = {
  device: MqttDevice;
  flow: Flow;
  clientId: string;
  will: { topic: string; payload: Buffer | string } | undefined;
};

export async function openBroker(ctx: Context, onError: (error: unknown) => void): Promise<Broker> {
  const links = new WeakMap<Client, Link>();
  const devices = new Set<MqttDevice>();
  /** By the device's id and the client id it gave itself. */
  const named = new Map<string, MqttDevice>();

  const linkOf = (client: Client | null): Link => {
    const link = client && links.get(client);
    if (!link) throw new Error('this connection is not known');
    return link;
  };

  async function accept(client: Client, username: string | undefined, password: Buffer | undefined) {
    const { device, clientId, will } = linkOf(client);
    const id = await device.authenticate(username, password, will);
    if (clientId === '' || client.closed) return;
    const name = `${id}/${clientId}`;
    const older = named.get(name);
    named.set(name, device);
    client.conn.once('close', () => named.get(name) === device && named.delete(name));
    older?.drop();
  }

  const broker = await Aedes.createBroker({
    connectTimeout: connectTimeoutMs,
    drainTimeout: drainTimeoutMs,
    maxClientsIdLength: clientIdCharactersMax,
    preConnect(client, packet, callback) {
      const link = linkOf(client);
      link.clientId = packet.clientId;
      link.will = packet.will;
      // Client ids are each device's own: nobody may end another's connection by knowing what it calls itself.
      packet.clientId = randomUUID();
      // A device that was off is caught up from the database, whatever it was subscribed to: no session is kept.
      packet.clean = true;
      callback(null, true);
    },
    authenticate(client, username, password, done) {
      accept(client, username, password).then(
        () => done(null, true),
        (error: unknown) => done(refusalOf(ctx, error), null),
      );
    },
    authorizePublish(client, packet, callback) {
      const { device, flow } = linkOf(client);
      device
        .publish(packet)
        .then(
          () => {
            // It is stored. What goes on to the broker is for its acknowledgement alone.
            packet.payload = '';
            packet.retain = false;
            callback(null);
          },
          (error: Error) => {
            device.report(error);
            callback(error);
          },
        )
        .finally(() => flow.done());
    },
    authorizeSubscribe(client, subscription, callback) {
      callback(null, linkOf(client).device.mayHear(subscription.topic) ? subscription : null);
    },
    // Numbered by us, so that we know what the device acknowledges; asked within the call that sends the packet.
    authorizeForward(client, packet) {
      return Object.assign(packet, { messageId: linkOf(client).device.packetNumber() });
    },
  });
  broker.on('clientReady', (client) => linkOf(client).flow.open());
  broker.on('subscribe', (subscriptions, client) => linkOf(client).device.subscribed(subscriptions));
  broker.on('unsubscribe', (topics, client) => linkOf(client).device.unsubscribed(topics));
  broker.on('keepaliveTimeout', (client) =>
    linkOf(client).device.report(new Error('nothing was heard of it'), 'debug'),
  );
  (broker as EventEmitter).on('error', onError);

  return {
    take(socket, address) {
      const flow = createFlow(socket);
      const client = broker.handle(flow.stream);
      const device = createMqttDevice(ctx, { client, flow, address });
      links.set(client, { device, flow, clientId: '', will: undefined });
      devices.add(device);
      watchPackets(client, device);
      client.once('error', (error) => device.report(error, isOrdinary(error) ? 'debug' : 'warn'));
      flow.stream.once('close', () => {
        devices.delete(device);
        device.onClose();
      });
    },
    async close() {
      await Promise.all([...devices].map((device) => device.drain()));
      await new Promise<void>((resolve) => broker.close(resolve));
    },
  };
}

type Packet = { cmd: string; messageId?: number; subscriptions?: { qos: number }[] };

/**
 * We send with QoS 1 at most and say so in the SUBACK. The library grants what was asked for before it asks us, so
 * the question is put right as it comes out of its parser. What a PUBACK is about it tells nobody either.
 */
function watchPackets(client: Client, device: MqttDevice): void {
  const { _parser: parser } = client as Client & { _parser?: EventEmitter };
  parser?.prependListener('packet', ({ cmd, messageId, subscriptions = [] }: Packet) => {
    if (cmd === 'puback' && messageId !== undefined) device.acknowledged(messageId);
    if (cmd !== 'subscribe') return;
    for (const subscription of subscriptions) subscription.qos = Math.min(subscription.qos, 1);
  });
}

/** Connections break, and devices are refused: that is nothing to worry about. */
function isOrdinary(error: Error): boolean {
  if ('returnCode' in error) return true;
  return 'code' in error && !(error instanceof Fault);
}

function refusalOf(ctx: Context, thrown: unknown): AuthenticateError {
  const error = explained(ctx, thrown, 'a device could not be let in');
  const code = error instanceof Fault ? error.code : null;
  const returnCode =
    code === 'bad_token' ? badUserNameOrPassword : code === 'not_allowed' ? notAuthorized : serverUnavailable;
  return Object.assign(new Error(error instanceof Error ? error.message : String(error)), { returnCode });
}
