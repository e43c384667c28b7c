/** Warnings: what was left out, cut or found empty on the way of a call that succeeded all the same. */

const warningsMax = 20;
const warningCharactersMax = 200;

/** At most as many, and as long, as an answer may carry; the last one counts those that are not told. */
export function boundWarnings(warnings: readonly string[]): string[] {
  const all = [...new Set(warnings)];
  const told = all.length > warningsMax ? all.slice(0, warningsMax - 1) : all;
  const more = all.length - told.length;
  return [
    ...told.map((text) => cutText(text, warningCharactersMax)),
    ...(more > 0 ? [`and ${more} more`] : []),
  ];
}

/** The text with at most `charactersMax` characters, ending in a mark where something was cut; no character is torn. */
export function cutText(text: string, charactersMax: number): string {
  if (text.length <= charactersMax) return text;
  const characters = Array.from(text);
  return characters.length <= charactersMax ? text : `${characters.slice(0, charactersMax - 1).join('')}…`;
}
