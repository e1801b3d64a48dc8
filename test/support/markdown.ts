/** As much of Markdown as the documents of this repository use, read line by line. */

export interface Fence {
  /** Where it opens, counted from 1. */
  line: number;
  language: string;
  text: string;
  /** The last line of words above it. */
  lead: string;
}

export function fences(document: string): Fence[] {
  const found: Fence[] = [];
  let open: (Fence & { mark: string }) | undefined;
  let lead = "";
  for (const [index, line] of document.split("\n").entries()) {
    const [, mark, language = ""] = line.match(/^\s*(`{3,}|~{3,})\s*(.*?)\s*$/) ?? [];
    if (open && mark === open.mark && language === "") {
      found.push(open);
      open = undefined;
    } else if (open) {
      open.text += `${line}\n`;
    } else if (mark) {
      open = { line: index + 1, language, text: "", lead, mark };
    } else if (line.trim() !== "") {
      lead = line.trim();
    }
  }
  if (open) throw new Error(`the block of line ${open.line} has no end`);
  return found;
}

/** The document without its fenced blocks. */
export const prose = (document: string): string => document.replace(/^\s*```.*?^\s*```\s*$/gms, "");

/** What stands between this heading and the next one. `heading` is how it begins, with its #. */
export function section(document: string, heading: string): string {
  const lines = document.split("\n");
  const start = lines.findIndex((line) => line.startsWith(heading));
  if (start < 0) throw new Error(`there is no heading ${heading}`);
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => /^#+ /.test(line));
  return rest.slice(0, end < 0 ? undefined : end).join("\n");
}

/** The rows below this header, as lists of cells. */
export function table(text: string, ...header: string[]): string[][] {
  const lines = text.split("\n");
  const start = lines.indexOf(`| ${header.join(" | ")} |`);
  if (start < 0) throw new Error(`there is no table ${header.join(" | ")}`);
  const rows = lines.slice(start + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return rows.slice(0, end < 0 ? undefined : end).map((line) =>
    line
      .replace(/^\||\|\s*$/g, "")
      .split(/(?<!\\)\|/)
      .map((cell) => cell.replaceAll("\\|", "|").trim()),
  );
}

/** What stands in `backticks`. */
export const codes = (text: string): string[] => [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);

/** Where links lead that do not lead out of the repository. */
export const relativeLinks = (text: string): string[] =>
  [...text.matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]:\s*(\S+)/gm)]
    .map(([, inline, reference]) => inline ?? reference ?? "")
    .filter((target) => !/^[a-z]+:/i.test(target));

/** The anchors that headings get. */
export const anchors = (document: string): string[] =>
  [...prose(document).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
