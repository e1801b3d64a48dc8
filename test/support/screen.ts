/**
 * A terminal's screen, as far as authline uses one: what is on it, in which colours, and where the cursor is.
 *
 * Rules: what it does not know is an error, so that a new escape sequence is seen; it has no bottom, so that a picture is
 * never cut off.
 */

export interface Style {
  bold: boolean;
  dim: boolean;
  /** As SGR numbers them: 30 to 37, 90 to 97; 40 to 47, 100 to 107. Undefined: the terminal's own. */
  fg: number | undefined;
  bg: number | undefined;
  link: string | undefined;
}

export interface Cell extends Style {
  sign: string;
}

export const PLAIN: Style = { bold: false, dim: false, fg: undefined, bg: undefined, link: undefined };
const BLANK: Cell = { sign: " ", ...PLAIN };

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
const TOKEN = /\u001b\[([?\d;]*)([A-Za-z])|\u001b\]8;;([^\u001b\u0007]*)(?:\u001b\\|\u0007)|./gsu;

export class Screen {
  readonly columns: number;
  rows: Cell[][] = [[]];
  row = 0;
  column = 0;
  isCursorShown = true;
  style: Style = PLAIN;
  #rest = "";

  constructor(columns: number) {
    this.columns = columns;
  }

  write(text: string): void {
    const all = this.#rest + text;
    // A sequence may be cut in two by whoever reads.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
    this.#rest = all.match(/\u001b(\[[?\d;]*|\](?:8(?:;[^\u001b\u0007]*\u001b?)?)?)?$/)?.[0] ?? "";
    for (const [token, parameters, final, link] of all.slice(0, all.length - this.#rest.length).matchAll(TOKEN)) {
      if (final !== undefined) this.#control(parameters ?? "", final);
      else if (link !== undefined) this.style = { ...this.style, link: link || undefined };
      else if (token === "\n") this.#down();
      else if (token === "\r") this.column = 0;
      else if (/\p{Cc}/u.test(token)) throw new Error(`an unknown control character: ${JSON.stringify(token)}`);
      else this.#put(token);
    }
  }

  /** What can be read, without the spaces at the ends. */
  get text(): string {
    return this.rows.map((row) => textOf(row)).join("\n");
  }

  #put(sign: string): void {
    if (this.column === this.columns) {
      this.#down();
      this.column = 0;
    }
    const row = this.rows[this.row] as Cell[];
    while (row.length < this.column) row.push(BLANK);
    row[this.column++] = { sign, ...this.style };
  }

  #down(): void {
    this.row++;
    if (this.row === this.rows.length) this.rows.push([]);
  }

  #control(parameters: string, final: string): void {
    const sequence = `${parameters}${final}`;
    if (sequence === "2K") this.rows[this.row] = [];
    else if (sequence === "?25l" || sequence === "?25h") this.isCursorShown = final === "h";
    else if (final === "m") for (const code of parameters.split(";")) this.style = restyled(this.style, Number(code));
    else throw new Error(`an unknown sequence: ESC [ ${sequence}`);
  }
}

function restyled(style: Style, code: number): Style {
  if (code === 0) return { ...PLAIN, link: style.link };
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, dim: true };
  if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) return { ...style, fg: code };
  if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) return { ...style, bg: code };
  throw new Error(`an unknown colour: ${code}`);
}

/** Without blank cells at the end; those of another background can be seen. */
export function trimmed(row: readonly Cell[]): readonly Cell[] {
  const last = row.findLastIndex(({ sign, bg }) => sign !== " " || bg !== undefined);
  return row.slice(0, last + 1);
}

const textOf = (row: readonly Cell[]) =>
  trimmed(row)
    .map(({ sign }) => sign)
    .join("");

/** Neighbours that look the same, together. */
export function runs(row: readonly Cell[]): { text: string; at: number; style: Style }[] {
  const found: { text: string; at: number; style: Style }[] = [];
  for (const [at, { sign, ...style }] of trimmed(row).entries()) {
    const last = found.at(-1);
    if (last && nameOf(last.style) === nameOf(style)) last.text += sign;
    else found.push({ text: sign, at, style });
  }
  return found;
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const colour = (code: number) => `${code % 100 >= 90 || code >= 100 ? "bright " : ""}${COLOURS[code % 10]}`;

/** "bold", "green", "black on bright white"; empty for what is plain. */
export const nameOf = ({ bold, dim, fg, bg, link }: Style): string =>
  [
    bold && "bold",
    dim && "dim",
    fg !== undefined && colour(fg),
    bg !== undefined && `on ${colour(bg)}`,
    link !== undefined && `to ${link}`,
  ]
    .filter(Boolean)
    .join(" ");

/** For a golden: the text, and ‹how it looks› before what looks so, ‹› after it. */
export function golden(screen: Screen): string {
  const lines = screen.rows.map((row) =>
    runs(row)
      .map(({ text, style }) => (nameOf(style) ? `‹${nameOf(style)}›${text}‹›` : text))
      .join(""),
  );
  return `${lines.join("\n").trimEnd()}\n`;
}
