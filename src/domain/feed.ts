/** What just happened, for whoever wants to know: console, log, metrics, waiting callers. Hints, never the truth. */

import type { ReceiptStatus } from './device/protocol.ts';
import type { EventKind } from './event/event.ts';

export type Fact =
  | {
      kind: 'trigger';
      projectId: number;
      triggerId: string;
      /** The action's `event_id`. */
      actionEventId: string;
      source: string;
      commands: number;
    }
  | { kind: 'trigger-refused'; projectId: number; actionEventId: string; code: string }
  | {
      kind: 'command';
      projectId: number;
      commandId: string;
      function: string;
      connections: number;
      end: number | null;
      /** The state commands whose place it took. */
      replaced: readonly string[];
    }
  | {
      kind: 'receipt';
      projectId: number;
      commandId: string;
      deviceId: number;
      status: ReceiptStatus;
      at: number;
    }
  | { kind: 'online' | 'offline'; projectId: number; deviceId: number; door: string }
  /** It was online at a node that died, and did not come back. */
  | { kind: 'lost'; projectId: number; deviceId: number; nodeId: string }
  | { kind: 'shared'; projectId: number; deviceId: number; addresses: readonly string[] }
  | {
      kind: 'event';
      projectId: number;
      eventId: string;
      event: EventKind;
      type: string | null;
      deviceId: number | null;
      /** How many webhooks get it. */
      deliveries: number;
      problem: string | null;
    }
  | {
      kind: 'attempt';
      projectId: number;
      webhookId: string;
      deliveryId: string;
      /** The delivery's status after it. */
      outcome: string;
      status: number | null;
      milliseconds: number;
    }
  | { kind: 'webhook-disabled'; projectId: number; webhookId: string; reason: string }
  | {
      kind: 'alarm';
      projectId: number;
      alarmId: string;
      ruleId: string;
      deviceId: number;
      /** `told`: it was raised while its rule cooled down, and is told now. */
      change: 'raised' | 'told' | 'cleared';
      /** Whether anybody hears of it. */
      isTold: boolean;
      isActive: boolean;
    }
  /** Everything that it names was deleted. */
  | {
      kind: 'orphaned';
      projectId: number;
      what: 'webhook' | 'alarm_rule';
      id: string;
      problem: string;
    }
  | { kind: 'firings'; count: number }
  | { kind: 'change'; projectId: number; change: string; subject: string; actor: string };

export type Feed = {
  publish(fact: Fact): void;
  /** Answers the function that ends the subscription. */
  subscribe(listener: (fact: Fact) => void): () => void;
};

export function createFeed(onError: (error: unknown) => void): Feed {
  const listeners = new Set<(fact: Fact) => void>();
  return {
    publish(fact) {
      for (const listener of listeners) {
        // A listener that fails must not undo what has happened.
        try {
          listener(fact);
        } catch (error) {
          onError(error);
        }
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
