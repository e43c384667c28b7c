/** The topics of devices: `/devices/{id}/...`, with the leading slash or without it. Pure. */

/** What a device publishes. */
export type Said = 'event' | 'bulk' | 'message' | 'receipt';
/** What a device subscribes to. */
export type Heard = 'command' | 'state';

export type Topic = { deviceId: number } & (
  | { what: Said; name: string | null }
  | { what: Heard; name: null }
);

const pattern =
  /^\/?devices\/([1-9]\d{0,14})\/(?:(event|receipt|command|state|message)|message\/(.*)|bulkData\/(.*))$/s;

/**
 * What a topic is about; null for one that is none of a device's. `name` is the label of bulk data or the type of a
 * message, slashes and all: whether it is a good one is not decided here. Wildcards are no part of a topic.
 */
export function parseTopic(text: string): Topic | null {
  const [isTopic, id, plain, type, label] = pattern.exec(text) ?? [];
  if (isTopic === undefined || /[+#]/.test(text)) return null;
  const deviceId = Number(id);
  if (type !== undefined) return { deviceId, what: 'message', name: type };
  if (label !== undefined) return { deviceId, what: 'bulk', name: label };
  return { deviceId, what: plain as Exclude<Topic['what'], 'bulk'>, name: null };
}

export function isSaid(topic: Topic): topic is Topic & { what: Said } {
  return !isHeard(topic);
}

export function isHeard(topic: Topic): topic is Topic & { what: Heard } {
  return topic.what === 'command' || topic.what === 'state';
}
