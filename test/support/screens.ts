/**
 * The screens that people see, each from a real terminal: what is run, and the moment that is looked at.
 *
 * Rules:
 * - What differs from run to run (ports, ids, states, times) is replaced before it is drawn, by something as long, so that
 *   every line still breaks where it did.
 * - The server is ours, and says what servers say; the addresses that people see are of a server that does not exist.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { metadata, startHostileServer } from "./hostile-server.ts";
import { Screen } from "./screen.ts";
import { binary } from "./spawn.ts";
import { onTerminal } from "./terminal.ts";

export const WIDTHS = [40, 80, 120] as const;
export type Ink = "colour" | "plain";

export interface Shot {
  name: string;
  columns: number;
  ink: Ink;
  screen: Screen;
}

interface Terminal {
  screen(): Screen;
  raw(): string;
  until(words: string): Promise<void>;
  type(text: string): void;
  ended: Promise<number>;
}

interface Stage {
  issuer: string;
  /** In a home that is shared, unless a fresh one is asked for. */
  run(argv: string[], columns: number, ink: Ink, home?: "fresh"): Terminal;
}

export const CTRL_C = "\u0003";
const ACME = "https://login.acme.example";
const KEY = Buffer.alloc(32, "screens").toString("base64");

/** What is looked at, by name. Some runs are looked at twice. */
const scenes: ((stage: Stage, columns: number, ink: Ink) => Promise<Record<string, Screen>>)[] = [
  async (stage, columns, ink) => {
    const running = stage.run(loginOf(stage, "device_code"), columns, ink, "fresh");
    await running.until("Waiting for you to sign in");
    const waiting = running.screen();
    running.type(CTRL_C);
    await running.ended;
    return { "device-login": waiting, cancelled: running.screen() };
  },
  async (stage, columns, ink) => {
    const running = stage.run(loginOf(stage, "authorization_code"), columns, ink, "fresh");
    await running.until("Waiting for you to sign in");
    const waiting = running.screen();
    await comeBack(running.raw());
    await running.ended;
    return { "redirect-login": waiting, "signed-in": running.screen() };
  },
  async (stage, columns, ink) => {
    const running = stage.run(loginOf(stage, "auto"), columns, ink, "fresh");
    await running.until("Waiting for you to sign in");
    const waiting = running.screen();
    running.type(CTRL_C);
    await running.ended;
    return { "auto-login": waiting };
  },
  ending("error", ["token", "github", "--connection", "work"]),
  ending("status", ["status"]),
  ending("session-list", ["session", "list"]),
  ending("connection-list", ["connection", "list"]),
  ending("token", ["token", "acme"]),
  ending("doctor", ["doctor"]),
  ending("help", ["--help"]),
  ending("help-login", ["login", "--help"]),
];

function ending(name: string, argv: string[]) {
  return async (stage: Stage, columns: number, ink: Ink) => {
    const running = stage.run(argv, columns, ink);
    await running.ended;
    return { [name]: running.screen() };
  };
}

export const loginOf = ({ issuer }: Stage, flow: string) => [
  ...["login", "acme", "--issuer", issuer, "--client-id", "cli", "--scope", "read write"],
  ...["--flow", flow, "--browser", "never", "--timeout", "3h"],
];

/** As the browser would, with a code. */
async function comeBack(raw: string): Promise<void> {
  const { searchParams } = new URL(raw.match(/https:\S+\/authorize\?[\w&=%.+-]+/)?.[0] ?? "");
  const address = new URL(searchParams.get("redirect_uri") ?? "");
  address.search = String(new URLSearchParams({ code: "the-code-of-screens", state: searchParams.get("state") ?? "" }));
  await fetch(address);
}

/** All screens, in all widths and inks. */
export const shots = (): Promise<Shot[]> =>
  onStage(async (stage) => {
    const found: Shot[] = [];
    for (const ink of ["colour", "plain"] as const) {
      for (const columns of WIDTHS) {
        const all = await Promise.all(scenes.map((scene) => scene(stage, columns, ink)));
        for (const [name, screen] of all.flatMap(Object.entries<Screen>)) found.push({ name, columns, ink, screen });
      }
    }
    return found;
  }, true);

/** `seeded`: somebody has signed in twice, and has left a sign-in open. */
export async function onStage<T>(play: (stage: Stage) => Promise<T>, seeded = false): Promise<T> {
  let isApproved = false;
  const server = await startHostileServer((issuer) => ({
    "GET /.well-known/openid-configuration": {
      json: metadata(issuer, {
        authorization_endpoint: `${ACME}/authorize`,
        registration_endpoint: undefined,
        userinfo_endpoint: undefined,
      }),
    },
    "POST /device": {
      json: {
        device_code: "device-code-of-screens",
        user_code: "WDJB-MJHT",
        verification_uri: `${ACME}/activate`,
        verification_uri_complete: `${ACME}/activate?user_code=WDJB-MJHT`,
        expires_in: 10_800,
        interval: 1,
      },
    },
    "POST /token": (_req, _res, body) =>
      isApproved || body.includes("authorization_code")
        ? {
            json: {
              ...{ access_token: "acme-access-token-6f1d2c", refresh_token: "acme-refresh-token-88a0e1" },
              ...{ token_type: "Bearer", expires_in: 10_800, scope: "read write" },
            },
          }
        : { status: 400, json: { error: "authorization_pending" } },
  }));
  const homes: string[] = [];
  const newHome = () => {
    const home = mkdtempSync("/tmp/authline-screens-"); // as long everywhere: doctor shows it
    homes.push(home);
    return home;
  };
  const home = newHome();
  const stage: Stage = {
    issuer: server.url,
    run: (argv, columns, ink, where) => launch(argv, columns, ink, where === "fresh" ? newHome() : home),
  };
  try {
    if (seeded) {
      isApproved = true;
      await stage.run(loginOf(stage, "device_code"), 80, "plain").ended;
      await stage.run([...loginOf(stage, "device_code"), "--connection", "work"], 80, "plain").ended;
      isApproved = false;
      const left = stage.run([...loginOf(stage, "device_code"), "--connection", "left-open"], 80, "plain");
      await left.until("Waiting for you to sign in");
      left.type(CTRL_C);
      await left.ended;
    }
    return await play(stage);
  } finally {
    await server.close();
    for (const each of homes) rmSync(each, { recursive: true, force: true });
  }
}

function launch(argv: string[], columns: number, ink: Ink, home: string): Terminal {
  const env = {
    ...{ PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", HOME: home, AUTHLINE_HOME: home, AUTHLINE_KEY: KEY },
    ...(ink === "plain" && { NO_COLOR: "1" }),
  };
  // What a shell would find changed when it is its turn again, it says.
  const script = `trap : INT; before=$(stty -g); "$@"; code=$?; [ "$before" = "$(stty -g)" ] || echo CHANGED; exit $code`;
  let raw = "";
  let wake = () => {};
  let isOver = false;
  const terminal = onTerminal(["sh", "-c", script, "sh", process.execPath, binary, ...argv], {
    ...{ cols: columns, rows: 50, cwd: home, env },
    onText(text) {
      raw += text;
      wake();
    },
  });
  const ended = terminal.ended.then(({ code }) => {
    isOver = true;
    wake();
    return code ?? -1;
  });
  return {
    raw: () => raw,
    screen() {
      const screen = new Screen(columns);
      screen.write(normalised(raw));
      return screen;
    },
    async until(words) {
      while (!raw.includes(words)) {
        if (isOver) throw new Error(`it ended without saying "${words}":\n${raw}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    type: terminal.type,
    ended,
  };
}

/** As long as it was, and always the same. */
const ALIKE: [RegExp, string][] = [
  [/(?<=Waiting for you to sign in), [\w ]+ left/g, ""], // whichever second it is
  [/(?<=127\.0\.0\.1(:|%3A))\d{5}/g, "49152"],
  [/(?<=(state|nonce|code_challenge)=)[\w-]{43}/g, "Zm9yIHRoZSBzY3JlZW5zLCBub3QgYSBzZWNyZXQgb24"],
  [/(?<=\/tmp\/authline-screens-)\w{6}/g, "a1B2c3"],
  [/\d+ (seconds?|minutes?) ago/g, "5 seconds ago"],
  [/\b2\d\.\d+\.\d+\b/g, "20.19.0"],
  [/20\d\d-\d\d-\d\dT[\d:.]+Z/g, "2026-03-01T12:00:00.000Z"],
  [/(?<=, )(linux|darwin)(?=\.)/g, "linux"],
];

function normalised(raw: string): string {
  const ids = [...new Set(raw.match(/sess_[\w-]{22}/g))];
  const named = ids.reduce(
    (text, id, at) =>
      text.replaceAll(
        id,
        `sess_${String(at + 1)
          .repeat(22)
          .slice(0, 22)}`,
      ),
    raw,
  );
  return ALIKE.reduce((text, [pattern, same]) => text.replace(pattern, same), named);
}
