/**
 * Completion: what may come next on a command line, in the shells that ask for it.
 *
 * What is protected: candidates come from the commands' own tables and from names that fit; nothing is opened and nothing
 * asked of anybody; whatever is wrong, a shell gets nothing, and nothing is said; each script does its work in its shell.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { spawn as spawnPty } from "@lydell/node-pty";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { commands } from "../src/commands/index.ts";
import { settings } from "../src/config.ts";
import { grants } from "../src/providers/definition.ts";
import { builtInNames } from "../src/providers/lookup.ts";
import { contextOf, end, success } from "./support/dying.ts";
import { authline, binary, sweep, tempHome } from "./support/spawn.ts";
import { checkStream } from "./support/stream.ts";

let home: string;
beforeEach(() => {
  home = tempHome();
});
afterEach(async () => {
  expect(await sweep()).toEqual([]);
});

const SESSION = "sess_9fJ2kQ7mX0aB4cD8eF1gHi";
const put = (path: string, content = "{") => {
  mkdirSync(join(home, path, ".."), { recursive: true });
  writeFileSync(join(home, path), content);
};

/** Names only: what is in the files cannot even be read. */
function fill(): void {
  for (const name of ["default@acme", "work@acme", "wing@acme", "other@github"]) put(`connections/${name}.json`);
  put("providers/acme.json");
  put(`sessions/${SESSION}.json`);
}

const candidates = async (words: string[], env: Record<string, string> = {}) =>
  (
    (await success(["complete", "--", ...words], contextOf(home, env))).data as {
      candidates: { value: string; summary?: string }[];
    }
  ).candidates;
const values = async (...words: string[]) => (await candidates(words)).map(({ value }) => value);

const GLOBAL = ["--json", "--no-json", "--quiet", "--help", "--version"];
/** What is built in, and what the homes of these tests have besides. */
const PROVIDERS = [...builtInNames(), "acme"].sort();
const beginning = (word: string) => PROVIDERS.filter((name) => name.startsWith(word));

// --- what is offered -------------------------------------------------------------------------------------------------

describe("complete", () => {
  test.each<[line: string[], expected: string[]]>([
    [["lo"], ["login", "logout"]],
    [["conn"], ["connection"]],
    [
      ["config", ""],
      ["list", "get", "set", "unset"],
    ],
    [["config", "se"], ["set"]],
    [["--j"], ["--json"]],
    [
      ["help", "lo"],
      ["login", "logout"],
    ],
    [
      ["help", "config", ""],
      ["list", "get", "set", "unset"],
    ],
    [["help", "login", ""], []],
    [["help", "--j"], ["--json"]],
    [["--json", "conn"], ["connection"]],
    [["nowhere", ""], []],
    [["token", ""], PROVIDERS],
    [["token", "gi"], beginning("gi")],
    [["token", "--refresh", "gi"], beginning("gi")],
    [
      ["token", "acme", ""],
      ["--connection", "--min-ttl", "--refresh", ...GLOBAL],
    ],
    [
      ["token", "acme", "--refresh", "--"],
      ["--connection", "--min-ttl", ...GLOBAL],
    ],
    [
      ["token", "acme", "--connection", ""],
      ["default", "wing", "work"],
    ],
    [
      ["token", "acme", "--connection=w"],
      ["--connection=wing", "--connection=work"],
    ],
    [["token", "--connection", "work", "a"], beginning("a")],
    [["token", "nowhere", "--connection", ""], []],
    [["token", "acme", "too-many", "a"], []],
    [
      ["login", "acme", "--flow", "a"],
      ["auto", "authorization_code", "api_key"],
    ],
    [["login", "acme", "--timeout", ""], []],
    [
      ["connection", "default", "acme", "w"],
      ["wing", "work"],
    ],
    [["connection", "rename", "github", ""], ["other"]],
    [["session", "wait", "sess"], [SESSION]],
    [["config", "set", "l"], ["login_timeout"]],
    [
      ["config", "set", "browser", "a"],
      ["always", "auto"],
    ],
    [["config", "set", "provider", "a"], beginning("a")],
    [["config", "set", "min_ttl", "1"], []],
    [
      ["completion", ""],
      ["bash", "zsh", "fish"],
    ],
    [["token", "--", "gi"], beginning("gi")],
    [["token", "--", "--"], []],
    [["token", "--__proto__", ""], PROVIDERS],
    [["token", "--constructor=x", "gi"], beginning("gi")],
  ])("%j: %j", async (line, expected) => {
    fill();
    expect(await values(...line)).toEqual(expected);
  });

  test("every command, and every option of each", async () => {
    for (const { name, load } of commands) {
      const words = name.split(" ");
      if (name !== "complete") expect(await values(...words)).toContain(words.at(-1));
      const { options } = await load();
      expect(await values(...words, "--")).toEqual([...Object.keys(options).map((option) => `--${option}`), ...GLOBAL]);
    }
    expect(await values("complet")).toEqual(["completion"]);
    expect(await values("help", "")).toEqual(await values(""));
  });

  test("says what commands and options are for", async () => {
    const [login] = await candidates(["login"]);
    expect(login).toEqual({ value: "login", summary: "sign in to a provider" });
    const [flow] = await candidates(["login", "--flow"]);
    expect(flow).toEqual({ value: "--flow", summary: "how to sign in" });
  });

  test("the connections are those of the provider that is settled, where none is typed", async () => {
    fill();
    await success(["config", "set", "provider", "github"], contextOf(home));
    expect(await values("token", "--connection", "")).toEqual(["other"]);
    const byEnv = await candidates(["token", "--connection", "w"], { AUTHLINE_PROVIDER: "acme" });
    expect(byEnv.map(({ value }) => value)).toEqual(["wing", "work"]);
  });

  test("a name that is none of ours gets into no command line", async () => {
    fill();
    for (const name of ["$(id)", "a b", "a\nb", "`id`", "-rf", "a;b", "a\tb", "\u001b[31m", "UP"]) {
      put(`connections/${name}@acme.json`);
      put(`connections/work@${name}.json`);
      put(`providers/${name}.json`);
      put(`sessions/${name}.json`);
    }
    expect(await values("token", "")).toEqual(PROVIDERS);
    expect(await values("token", "acme", "--connection", "")).toEqual(["default", "wing", "work"]);
    expect(await values("session", "show", "")).toEqual([SESSION]);
  });

  test("what is wrong is nothing to offer", async () => {
    for (const room of ["connections", "providers", "sessions", "config.json"]) put(room, "not a directory");
    for (const line of [
      ["token", ""],
      ["token", "--connection", ""],
      ["session", "show", ""],
    ]) {
      expect(await values(...line)).toEqual([]);
    }
    expect(await values("lo")).toEqual(["login", "logout"]);
    expect(await values()).toContain("login");
  });

  test("needs no key, no network, and leaves nothing behind", async () => {
    fill();
    const before = readdirSync(home, { recursive: true });
    const ctx = contextOf(home);
    const untouchable = () => {
      throw new Error("touched");
    };
    const keys = new Proxy(ctx.keys, { get: untouchable });
    const inner = { ...ctx, keys, fetch: untouchable, execute: untouchable, leaveBehind: untouchable };
    for (const line of [
      ["token", ""],
      ["token", "acme", "--connection", ""],
      ["session", "wait", ""],
    ]) {
      const { data } = await success(["complete", "--", ...line], inner);
      expect((data as { candidates: object[] }).candidates).not.toEqual([]);
    }
    expect(readdirSync(home, { recursive: true })).toEqual(before);
  });

  test("however many there are, all are offered", async () => {
    for (let index = 0; index < 300; index++) put(`connections/of-the-long-names-${index}@acme.json`);
    const { stdout, stderr, code } = await authline(["complete", "--", "token", "acme", "--connection", "of"], { home })
      .done;
    expect([String(stdout).split("\n").length, stderr, code]).toEqual([301, "", 0]);
  });

  test("its stdout is the shell's: a candidate a line, and behind a tab what it is", async () => {
    const { stdout, stderr, code } = await authline(["complete", "--", "lo"], { home }).done;
    expect({ stdout: String(stdout), stderr, code }).toEqual({
      stdout: "login\tsign in to a provider\nlogout\trevoke and forget a credential\n",
      stderr: "",
      code: 0,
    });
  });
});

// --- the scripts -----------------------------------------------------------------------------------------------------

const SHELLS = ["bash", "zsh", "fish"] as const;
const isHere = (shell: string) => spawnSync("sh", ["-c", `command -v ${shell}`]).status === 0;

/** What a shell of somebody is started with: authline on the path, and nothing but what is in this home. */
function shellEnv(): Record<string, string> {
  const bin = join(home, "bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "authline"), `#!/bin/sh\nexec '${process.execPath}' '${binary}' "$@"\n`);
  chmodSync(join(bin, "authline"), 0o755);
  const PATH = `${bin}:${process.env["PATH"]}`;
  return { PATH, HOME: home, AUTHLINE_HOME: home, LANG: "C.UTF-8", TERM: "xterm-256color" };
}

const configured = () => (existsSync(join(home, "config.json")) ? readFileSync(join(home, "config.json"), "utf8") : "");

/** Types at a shell as a person would, and waits for what the completed command has done. */
async function typeAt(file: string, args: string[], start: string): Promise<void> {
  const terminal = spawnPty(file, args, { name: "xterm-256color", cols: 100, rows: 24, cwd: home, env: shellEnv() });
  let screen = "";
  terminal.onData((text) => {
    screen += text;
  });
  const shows = (text: string) =>
    vi
      .waitUntil(() => screen.includes(text), { timeout: 15_000, interval: 20 })
      .catch(() => {
        throw new Error(`${JSON.stringify(text)} is not on the screen: ${screen}`);
      });
  try {
    terminal.write(`${start}; echo rea''dy\r`);
    await shows("ready");
    terminal.write("authline conf\tset bro\tnev\t\r");
    await vi
      .waitUntil(() => configured().includes('"browser": "never"'), { timeout: 15_000, interval: 20 })
      .catch(() => {
        throw new Error(`it is not completed: ${screen}`);
      });
  } finally {
    terminal.kill("SIGKILL");
  }
}

const INTERACTIVE: Record<string, string[]> = { bash: ["--norc", "--noprofile", "-i"], zsh: ["-f", "-i"] };

describe("completion", () => {
  test.each(SHELLS)("%s: --install writes the script to where the shell looks, again if it must", async (shell) => {
    const places = {
      bash: ".local/share/bash-completion/completions/authline",
      zsh: ".zfunc/_authline",
      fish: ".config/fish/completions/authline.fish",
    };
    const path = join(home, places[shell]);
    for (const _ of [1, 2]) {
      const { data } = await success(["completion", shell, "--install"], contextOf(home, { HOME: home }));
      expect(data).toMatchObject({ shell, path, script: readFileSync(path, "utf8") });
    }
    writeFileSync(path, "# mine\n");
    const failure = await end(["completion", shell, "--install"], contextOf(home, { HOME: home }));
    expect(failure).toMatchObject({ code: "store", message: `${path} is there, and authline did not write it.` });
    expect(readFileSync(path, "utf8")).toBe("# mine\n");
  });

  test.each(SHELLS)("%s: what is in the way is named, and what to do about it", async (shell) => {
    const install = (at: string) => end(["completion", shell, "--install"], contextOf(home, { HOME: at }));
    const { data } = await success(["completion", shell, "--install"], contextOf(home, { HOME: home }));
    const { path } = data as { path: string };
    rmSync(path);
    symlinkSync("nowhere", path);
    expect(await install(home)).toMatchObject({
      ...{ code: "store", message: `${path} is a link that leads nowhere.` },
      details: { hint: "Nothing was changed. Move it away and run the command again." },
    });
    const elsewhere = `Nothing was changed. Put the script where ${shell} finds it: authline completion ${shell}`;
    rmSync(path);
    mkdirSync(path);
    expect(await install(home)).toMatchObject({
      message: `Cannot read ${path} (EISDIR).`,
      details: { hint: elsewhere },
    });
    put("a-file", "");
    const failure = await install(join(home, "a-file"));
    expect(failure).toMatchObject({ code: "store", details: { hint: elsewhere } });
  });

  test("heeds XDG_DATA_HOME and XDG_CONFIG_HOME, and needs a HOME", async () => {
    const env = { HOME: home, XDG_DATA_HOME: join(home, "data"), XDG_CONFIG_HOME: join(home, "conf") };
    for (const [shell, place] of [
      ["bash", "data/bash-completion/completions/authline"],
      ["fish", "conf/fish/completions/authline.fish"],
    ] as const) {
      const { data } = await success(["completion", shell, "--install"], contextOf(home, env));
      expect(data).toMatchObject({ path: join(home, place) });
    }
    expect(await end(["completion", "zsh", "--install"], contextOf(home, { HOME: "" }))).toMatchObject({
      code: "config",
    });
  });

  test("prints the script on the stream, and puts nothing anywhere", async () => {
    const { stdout, code, events } = await authline(["completion", "bash"], { home }).done;
    expect(checkStream(stdout, { command: "completion", exitCode: code })).toEqual([]);
    expect(events.at(-1)?.data.script).toContain("complete -F _authline authline");
    expect(readdirSync(home)).toEqual([]);
  });

  const installed = async (shell: string) => {
    const { data } = await success(["completion", shell, "--install"], contextOf(home, { HOME: home }));
    return data as { path: string; add?: string };
  };

  describe.each(["bash", "zsh"])("%s", (shell) => {
    const here = isHere(shell);
    test.skipIf(!here)(
      here ? "completes what is typed at a terminal" : `not run: there is no ${shell} here`,
      async () => {
        const { add = "" } = await installed(shell);
        await typeAt(shell, INTERACTIVE[shell] ?? [], add);
      },
    );
  });

  test("bash: a value behind the sign of an assignment, and silence where nothing can be known", async () => {
    const { path } = await installed("bash");
    const ask = (words: string) =>
      execFileSync(
        "bash",
        [
          ...["--norc", "--noprofile", "-u", "-c"],
          `. '${path}'; COMP_WORDS=(authline ${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _authline; echo "\${COMPREPLY[*]-}"`,
        ],
        { env: shellEnv(), encoding: "utf8" },
      );
    expect(ask("login github --flow = au")).toBe("auto authorization_code\n");
    expect(ask("login github --flow =")).toBe(`${["auto", ...grants, "api_key"].join(" ")}\n`);
    expect(ask("conf")).toBe("config\n");
    const broken = join(home, "bin", "authline");
    const env = shellEnv();
    writeFileSync(broken, "#!/bin/sh\necho noise; echo noise >&2; exit 70\n", { mode: 0o755 });
    const said = spawnSync(
      "bash",
      ["--norc", "-c", `. '${path}'; COMP_WORDS=(authline x); COMP_CWORD=1; _authline; echo "[\${COMPREPLY[*]-}]"`],
      { env, encoding: "utf8" },
    );
    expect(said).toMatchObject({ stdout: "[]\n", stderr: "" });
  });

  const fish = isHere("fish");
  test.skipIf(!fish)(fish ? "fish: finds the script, and completes" : "not run: there is no fish here", async () => {
    await installed("fish");
    const ask = (line: string) =>
      execFileSync("fish", ["-c", `complete -C '${line}'`], { env: shellEnv(), encoding: "utf8" });
    expect(ask("authline lo")).toBe("login\tsign in to a provider\nlogout\trevoke and forget a credential\n");
    expect(ask("authline config set browser nev")).toBe("never\n");
  });
});

test("what a setting completes to is what it takes", async () => {
  fill();
  const offered: string[] = [];
  for (const key of Object.keys(settings) as (keyof typeof settings)[]) {
    const fitting = (await values("config", "set", key, "")).filter((value) => !value.startsWith("--"));
    for (const value of fitting) expect(() => settings[key].parse(value, key)).not.toThrow();
    if (fitting.length > 0) offered.push(key);
  }
  expect(offered).toEqual(["provider", "browser"]);
});
