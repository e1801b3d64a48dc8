/**
 * Facts side by side.
 *
 * Rules: columns without a fact are left out; what does not fit is wrapped between words, the widest column first; where
 * even that does not fit, each row is a small list of its own. No word is ever broken, so that it can be copied.
 */
import { bold, dim, type Look, type Paint } from "./look.ts";
import { widthOf, wrap } from "./width.ts";

export interface Cell {
  text: string;
  paint?: Paint;
}

export interface Row {
  cells: readonly (Cell | string | undefined)[];
  /** A line of its own below the row: a command, which is copied as a whole. */
  note?: string | undefined;
}

const GAP = 2;
/** The last column may be narrower than its longest word, which then runs on alone. */
const LEAST_LAST = 24;

export function table(titles: readonly string[], rows: readonly Row[], look: Look): string[] {
  const cells = rows.map(({ cells }) => cells.map((cell) => (typeof cell === "object" ? cell : { text: cell ?? "" })));
  const used = titles.flatMap((_, index) => (cells.some((row) => row[index]?.text) ? [index] : []));
  const names = used.map((index) => titles[index] as string);
  const grid = cells.map((row) => used.map((index) => row[index] ?? { text: "" }));
  const widths = fitting([names.map((text) => ({ text })), ...grid], look.width);
  if (!widths) return rows.flatMap(({ note }, index) => stacked(names, grid[index] as Cell[], note, look));
  const head = names.map((text): Cell => ({ text, paint: dim }));
  return [
    ...sideBySide(head, widths, look),
    ...rows.flatMap(({ note }, index) => [
      ...sideBySide(grid[index] as Cell[], widths, look),
      ...(note === undefined ? [] : [`${" ".repeat(GAP)}${note}`]),
    ]),
  ];
}

/** The width of each column, or undefined where the words are too long to stand side by side. */
function fitting(grid: readonly Cell[][], room: number): number[] | undefined {
  const columns = (grid[0] ?? []).map((_, index) => grid.map((row) => row[index]?.text ?? ""));
  const widths = columns.map((texts) => Math.max(...texts.map(widthOf)));
  const least = columns.map((texts, index) => {
    const longest = Math.max(...texts.flatMap((text) => text.split(" ").map(widthOf)));
    return index === columns.length - 1 ? Math.min(longest, LEAST_LAST) : longest;
  });
  for (let over = sum(widths) + GAP * (widths.length - 1) - room; over > 0; over--) {
    const slack = widths.map((width, index) => (width > (least[index] ?? 0) ? width : 0));
    const widest = slack.indexOf(Math.max(...slack));
    if (!slack[widest]) return undefined;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function sideBySide(row: readonly Cell[], widths: readonly number[], look: Look): string[] {
  const wrapped = row.map(({ text }, index) => wrap(text, widths[index] ?? 0));
  const height = Math.max(...wrapped.map((lines) => lines.length));
  return Array.from({ length: height }, (_, line) => {
    const last = wrapped.findLastIndex((lines) => lines[line]); // beyond it there is nothing to line up
    return row
      .slice(0, last + 1)
      .map(({ paint }, index) => {
        const text = wrapped[index]?.[line] ?? "";
        const rest = index === last ? "" : " ".repeat((widths[index] ?? 0) - widthOf(text) + GAP);
        return `${paint && text ? paint(text, look) : text}${rest}`;
      })
      .join("");
  });
}

function stacked(names: readonly string[], row: readonly Cell[], note: string | undefined, look: Look): string[] {
  const [first, ...others] = row;
  const indent = GAP + Math.max(...names.slice(1).map(widthOf)) + GAP;
  const facts = others.flatMap(({ text, paint }, index) => {
    if (text === "") return [];
    const name = (names[index + 1] ?? "").padEnd(indent - GAP);
    return wrap(text, look.width - indent).map((line, at) => {
      const shown = paint ? paint(line, look) : line;
      return at === 0 ? `${" ".repeat(GAP)}${dim(name, look)}${shown}` : `${" ".repeat(indent)}${shown}`;
    });
  });
  const head = (first?.paint ?? bold)(first?.text ?? "", look);
  return [head, ...facts, ...(note === undefined ? [] : [`${" ".repeat(GAP)}${note}`])];
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
