/** The table: medians over the rounds, and ratios of figures of the same round. */
import type { ColumnName, Round } from './servers.ts';

export type Row = { label: string; figure: string; digits: number; ratios: boolean };

/** A part of the table whose rows were measured on the same servers: the ceiling, what lies between, Fleethook. */
export type Section = {
  title: string;
  ceiling: ColumnName;
  plain: ColumnName | null;
  peer: ColumnName | null;
  rows: readonly Row[];
  rounds: readonly Round[];
};

const none = '';

export function formatTable(sections: readonly Section[]): string {
  const lines = sections.flatMap((section) => [
    null,
    headOf(section),
    null,
    ...section.rows.map((row) => cellsOf(section, row)),
  ]);
  const cells = lines.filter((line) => line !== null);
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((line) => line[column]?.length ?? 0)),
  );
  const rule = widths.map((width) => '─'.repeat(width)).join('──');
  return [...lines, null]
    .map((line) =>
      line === null ? rule : line.map((cell, column) => pad(cell, widths[column] ?? 0, column)).join('  '),
    )
    .map((line) => line.trimEnd())
    .join('\n');
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}

function headOf({ title, ceiling, plain, peer }: Section): string[] {
  return [
    title,
    ceiling,
    plain ?? none,
    peer ?? none,
    'Fleethook',
    `÷ ${ceiling}`,
    peer ? `÷ ${peer}` : none,
  ];
}

function cellsOf({ ceiling, plain, peer, rounds }: Section, row: Row): string[] {
  const figuresOf = (server: ColumnName) =>
    rounds.map((round) => round.get(server)?.[row.figure] ?? Number.NaN);
  const value = (server: ColumnName) => {
    const figure = median(figuresOf(server));
    return Number.isNaN(figure) ? none : format(figure, row.digits);
  };
  const ratios = (server: ColumnName, to: ColumnName) => {
    const base = figuresOf(to);
    return figuresOf(server).map((figure, round) => figure / (base[round] ?? Number.NaN));
  };
  const withRatio = (server: ColumnName) =>
    row.ratios ? `${value(server)} (${format(median(ratios(server, ceiling)), 2)})` : value(server);
  const withRange = (to: ColumnName) => {
    if (!row.ratios) return none;
    const found = ratios('Fleethook', to);
    const range =
      found.length > 1 ? ` (${format(Math.min(...found), 2)}–${format(Math.max(...found), 2)})` : '';
    return format(median(found), 2) + range;
  };
  return [
    row.label,
    value(ceiling),
    plain === null ? none : withRatio(plain),
    peer === null ? none : withRatio(peer),
    value('Fleethook'),
    withRange(ceiling),
    peer === null ? none : withRange(peer),
  ];
}

function format(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
