/**
 * What a call comes to: which steps of the action want it, the params they get from it, and what has to be said
 * about that. Firing, a dry run and the page that asks first all go by the same plan.
 */

import type { SkippedStep } from '../../store/trigger.ts';
import { fillParams } from '../command/params.ts';
import { type Condition, holds } from '../condition.ts';
import { instant } from '../input.ts';
import { refusalOf } from '../refusal.ts';
import { boundWarnings } from '../warning.ts';
import type { ReadyAction, ReadyStep } from './action.ts';
import type { Call } from './call.ts';

/** A step that wants the call; `place` from 0. */
export type WantedStep = { place: number; step: ReadyStep };
/** Steps that want the call, those that don't with the condition that refused, and a warning when none does. */
export type Wanted = { steps: WantedStep[]; skipped: SkippedStep[]; warnings: string[] };

/** Holds the call against the conditions of the action and its steps. */
export function wantedSteps(action: ReadyAction, call: Call): Wanted {
  const scope = { payload: call.payload, sensor_data: call.sensorData, query: call.query };
  const refusal = (when: Condition | null | undefined) =>
    when && !holds(when, scope) ? refusalOf(when, scope) : null;
  const ofAction = refusal(action.when);
  const steps: WantedStep[] = [];
  const skipped: SkippedStep[] = [];
  for (const [place, step] of action.steps.entries()) {
    const refused = ofAction ?? refusal(step.when);
    if (refused === null) steps.push({ place, step });
    else skipped.push({ step: place + 1, by: ofAction === null ? 'step.when' : 'action.when', refused });
  }
  if (steps.length > 0) return { steps, skipped, warnings: [] };
  const reasons =
    ofAction === null
      ? skipped.map(({ step, refused }) => `step ${step}: when ${refused}`)
      : [`action.when ${ofAction}`];
  const warnings = boundWarnings([`no step wanted this call: ${reasons.join('; ')}`]);
  return { steps, skipped, warnings };
}

export type Plan = {
  steps: (WantedStep & { params: Record<string, unknown> })[];
  skipped: SkippedStep[];
  warnings: string[];
};

/** Fills the params of the steps that want the call. Throws `bad_params`. */
export function planCall(action: ReadyAction, call: Call, triggerId: string, now: number): Plan {
  const wanted = wantedSteps(action, call);
  const scope = templateScope(call, triggerId, now);
  const told: string[] = [];
  const steps = wanted.steps.map(({ place, step }) => {
    const { params, warnings } = fillParams(step.function, step.params, scope, action.name);
    for (const warning of warnings) told.push(`step ${place + 1}: ${warning}`);
    return { place, step, params };
  });
  const ofCall = told.length > 0 ? told : wanted.warnings;
  const warnings = boundWarnings([...ofCall, ...(call.leftOut ?? [])]);
  return { steps, skipped: wanted.skipped, warnings };
}

/** What templates can reach. */
function templateScope(call: Call, triggerId: string, now: number) {
  return {
    event_id: call.eventId,
    sensor_data: call.sensorData,
    payload: call.payload,
    query: call.query,
    trigger: { id: triggerId, created_at: instant(now) },
  };
}
