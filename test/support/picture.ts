/** A screen as an SVG: the same bytes for the same screen, and nothing in it that a browser would have to fetch. */
import { runs, type Screen, type Style } from "./screen.ts";

export type Theme = "dark" | "light";

interface Palette {
  paper: string;
  ink: string;
  faint: string;
  colours: Record<number, string>;
}

const PALETTES: Record<Theme, Palette> = {
  dark: {
    paper: "#161b22",
    ink: "#e6edf3",
    faint: "#8b949e",
    colours: { 30: "#000000", 31: "#ff7b72", 32: "#56d364", 33: "#e3b341", 107: "#ffffff" },
  },
  light: {
    paper: "#ffffff",
    ink: "#1f2328",
    faint: "#636c76",
    colours: { 30: "#000000", 31: "#cf222e", 32: "#116329", 33: "#7d4e00", 107: "#ffffff" },
  },
};

const [WIDE, HIGH, EDGE] = [8, 17, 16];

export function picture(screen: Screen, theme: Theme, title: string): string {
  const { paper, ink, faint, colours } = PALETTES[theme];
  const rows = screen.rows.slice(0, screen.rows.findLastIndex((row) => runs(row).length > 0) + 1);
  const [width, height] = [screen.columns * WIDE + 2 * EDGE, rows.length * HIGH + 2 * EDGE];
  const known = (code: number) => {
    const found = colours[code];
    if (found === undefined) throw new Error(`no colour for ${code}`);
    return found;
  };
  const inkOf = ({ fg, dim }: Style) => (fg !== undefined ? known(fg) : dim ? faint : ink);
  const drawn = rows.flatMap((row, index) =>
    runs(row).flatMap(({ text, at, style }) => {
      const [x, y] = [EDGE + at * WIDE, EDGE + index * HIGH];
      const length = text.length * WIDE;
      if (style.bg !== undefined) {
        const paper = `<path fill="${known(style.bg)}" d="M${x} ${y}h${length}v${HIGH}h-${length}z"/>`;
        return [paper, `<path fill="${inkOf(style)}" d="${halves(text, x, y)}"/>`];
      }
      const words = text.trim();
      if (words === "") return [];
      const from = x + (text.length - text.trimStart().length) * WIDE;
      const weight = style.bold ? ' font-weight="bold"' : "";
      const place = `x="${from}" y="${y + 13}" textLength="${words.length * WIDE}" fill="${inkOf(style)}"${weight}`;
      // Of several spaces in a row only one would be drawn.
      return [`<text ${place}>${escaped(words.replaceAll(" ", "\u00a0"))}</text>`];
    }),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" rx="8" fill="${paper}"/>`,
    `<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13" shape-rendering="crispEdges">`,
    ...drawn,
    "</g>",
    "</svg>",
    "",
  ].join("\n");
}

/** Blocks are drawn, not written: a font would leave gaps in a QR code. */
const HALVES: Record<string, [from: number, height: number]> = { "▀": [0, 8.5], "▄": [8.5, 8.5], "█": [0, 17] };

function halves(text: string, x: number, y: number): string {
  return [...text]
    .map((sign, index) => {
      const [from, height] = HALVES[sign] ?? [0, 0];
      return height === 0 ? "" : `M${x + index * WIDE} ${y + from}h${WIDE}v${height}h-${WIDE}z`;
    })
    .join("");
}

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
