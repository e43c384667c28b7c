/** Why a condition does not hold, in words short enough for a log: what in it refused, as it was written. */
import { type Condition, holds } from './condition.ts';
import { cutText } from './warning.ts';

const refusalCharactersMax = 150;
const valueCharactersMax = 60;
const listedMax = 5;

/** What in the condition refused; it does not hold for `scope`, which is an object. */
export function refusalOf(condition: Condition, scope: object): string {
  return cutText(refusalIn(condition, scope), refusalCharactersMax);
}

function refusalIn(condition: Condition, scope: object): string {
  if ('all' in condition) {
    const refusing = condition.all.find((inner) => !holds(inner, scope));
    return refusing ? refusalIn(refusing, scope) : textOfCondition(condition);
  }
  if ('not_any' in condition) {
    const holding = condition.not_any.find((inner) => holds(inner, scope));
    return holding ? `not (${textOfCondition(holding)})` : textOfCondition(condition);
  }
  return textOfCondition(condition);
}

function textOfCondition(condition: Condition): string {
  if ('all' in condition) return listed('all of', condition.all);
  if ('any' in condition) return listed('any of', condition.any);
  if ('not_all' in condition) return listed('not all of', condition.not_all);
  if ('not_any' in condition) return listed('none of', condition.not_any);
  const { path, op, value } = condition;
  if (op === 'exists') return value === false ? `${path} is not there` : `${path} exists`;
  return `${path} ${op} ${cutText(JSON.stringify(value) ?? '', valueCharactersMax)}`;
}

function listed(title: string, conditions: readonly Condition[]): string {
  const shown = conditions.slice(0, listedMax).map(textOfCondition);
  const more = conditions.length > listedMax ? ', …' : '';
  return `${title} (${shown.join(', ')}${more})`;
}
