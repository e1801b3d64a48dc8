/** What somebody has to do: the address, the code, and both as a picture for a phone. */
import type { PhaseEvent } from "../../protocol/event.ts";
import { bold, type Look, linked } from "./look.ts";

type AuthUrl = Extract<PhaseEvent, { phase: "auth_url" }>;
type DeviceCode = Extract<PhaseEvent, { phase: "device_code" }>;

export function authUrlWords({ message, auth_url, reach }: AuthUrl, look: Look): string {
  const paste = look.live && look.paste ? PASTE : "";
  // A phone cannot come back to this machine's loopback.
  const picture = reach === "anywhere" ? pictureOf(auth_url, look) : "";
  return `${bold(linked(message, auth_url, look), look)}\n${picture}${paste}`;
}

const PASTE = "If your browser is on another machine, paste the address that it ends at here.\n";

export function deviceCodeWords(event: DeviceCode, look: Look): string {
  const { message, user_code, verification_uri, verification_uri_complete: complete } = event;
  const code = `\n    ${bold(user_code, look)}\n\n`;
  const filledIn = complete ? `${linked(`With the code filled in: ${complete}`, complete, look)}\n` : "";
  return `${linked(message, verification_uri, look)}\n${code}${filledIn}${complete ? pictureOf(complete, look) : ""}`;
}

/** ISO/IEC 18004 §5.3.8: four modules of light around it. */
const QUIET = 4;
/** Two modules, one above the other, as one sign: the dark ones are drawn. */
const HALVES = [" ", "▄", "▀", "█"];
/** Black on white whatever the terminal's own colours are: a picture with these the wrong way round many phones cannot read. */
const BLACK_ON_WHITE = "\u001b[30m\u001b[107m";

/** Nothing where it cannot be drawn: in no colours, without UTF-8, or wider than the terminal. */
function pictureOf(address: string, { qr, live, colour, unicode, width }: Look): string {
  if (!qr || !live || !colour || !unicode) return "";
  const modules = qr(address);
  const size = modules.length + 2 * QUIET;
  if (size > width) return "";
  const isDark = (row: number, column: number) => modules[row - QUIET]?.[column - QUIET] === true;
  let picture = "\n";
  for (let row = 0; row < size; row += 2) {
    let line = "";
    for (let column = 0; column < size; column++) {
      line += HALVES[Number(isDark(row, column)) * 2 + Number(isDark(row + 1, column))];
    }
    picture += `${BLACK_ON_WHITE}${line}\u001b[0m\n`;
  }
  return `${picture}\n`;
}
