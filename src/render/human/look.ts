/** How the words for people look, and the marks that this allows. */

/** What modes.ts found out about stderr. Each of them is about what may be written, none about what is said. */
export interface Look {
  /** Somebody reads it on a screen: what is a list is laid out as a table. */
  terminal: boolean;
  /** One line may be rewritten in place. */
  live: boolean;
  colour: boolean;
  /** Addresses may be links (OSC 8). */
  links: boolean;
  unicode: boolean;
  /** In columns. It is asked for anew each time: windows change. */
  readonly width: number;
  /** Only what somebody must do or must know, and what was asked for. */
  quiet: boolean;
  /** Somebody can paste at the terminal, and is heard. */
  paste: boolean;
  /** A token may be shown, because a person asked for it at a terminal. */
  reveal: boolean;
  /** Draws a QR code. Loaded only where somebody may be asked to open an address. */
  qr?: Qr | undefined;
}

/** The modules of a QR code without a margin, row by row; true is dark. */
export type Qr = (text: string) => readonly (readonly boolean[])[];

export type Paint = (text: string, look: Pick<Look, "colour">) => string;

const paint =
  (code: string): Paint =>
  (text, { colour }) =>
    colour ? `\u001b[${code}m${text}\u001b[0m` : text;

export const bold = paint("1");
export const dim = paint("2");
export const green = paint("32");
export const red = paint("31");
export const yellow = paint("33");

/** Begins every text on a terminal that is drawn on: what stood on the line is gone, also the ^C that was typed. */
export const WIPE = "\r\u001b[2K";

/** The address wherever it stands in the text, as a link to itself: it stays readable, and can be copied as ever. */
export function linked(text: string, address: string, { links }: Look): string {
  return links ? text.replaceAll(address, () => `\u001b]8;;${address}\u001b\\${address}\u001b]8;;\u001b\\`) : text;
}
