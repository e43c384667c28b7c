/** What all lanes of the outgoing door hold together: the deliveries of this node, and the bodies that wait in memory. */
import type { ClaimedDelivery } from '../domain/delivery/outbound.ts';

export type Stock = {
  /** The ids of what is claimed and not settled yet. */
  readonly held: ReadonlySet<string>;
  /** More bodies wait in memory than should. */
  isFull(): boolean;
  add(deliveries: readonly ClaimedDelivery[]): void;
  /** They wait no longer. */
  draw(deliveries: readonly ClaimedDelivery[]): void;
  /** They are settled, or others'. */
  release(deliveries: readonly ClaimedDelivery[]): void;
};

export function createStock(queuedBytesMax: number): Stock {
  const held = new Set<string>();
  let queuedBytes = 0;
  const bytesOf = (delivery: ClaimedDelivery) => delivery.event?.body?.length ?? 0;
  return {
    held,
    isFull: () => queuedBytes > queuedBytesMax,
    add(deliveries) {
      for (const delivery of deliveries) {
        queuedBytes += bytesOf(delivery);
        held.add(delivery.id);
      }
    },
    draw(deliveries) {
      for (const delivery of deliveries) queuedBytes -= bytesOf(delivery);
    },
    release(deliveries) {
      for (const { id } of deliveries) held.delete(id);
    },
  };
}
