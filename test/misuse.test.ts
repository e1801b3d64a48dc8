// What somebody types wrong, and what they are told.
//
// What is protected, in each case: one line on stdout, a `result` with `usage` and exit 64, whose hint helps with this very
// mistake; the same words for people; nothing is stored, and nobody is waited for though stdin stays open.
import { readdirSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { grants } from "../src/providers/definition.ts";
import { program } from "./support/inside.ts";
import { sweep, tempHome } from "./support/spawn.ts";
import { checkStream } from "./support/stream.ts";

const SESSION = "sess_9fJ2kQ7mX0aB4cD8eF1gHi";
/** Linux takes no longer argument. */
const HUGE = "x".repeat(131_000);
const NAME =
  "Use lower-case letters, digits, dots, dashes and underscores, 64 at the most, beginning with a letter or digit.";
const LOGIN = "authline login github --client-id Iv1.0123456789abcdef";
const TIME = (least: string) => `Write a time such as 30s, 10m or 1h, from ${least} to 30d.`;

const cases: [what: string, argv: string[], message: RegExp | string, hint: RegExp | string][] = [
  // Commands.
  ["a misspelt command", ["logni", "github"], "There is no command logni.", "Did you mean login?"],
  ["a misspelt group", ["sesion", "list"], "There is no command sesion.", "Did you mean session list?"],
  [
    "a misspelt subcommand",
    ["session", "wiat", SESSION],
    "There is no command session wiat.",
    "Did you mean session wait?",
  ],
  ["a group alone", ["session"], "session is not a command by itself.", /^Commands are session list, session show, /],
  ["a group with an option", ["session", "--new"], "session is not a command by itself.", /^Commands are session list/],
  [
    "a subcommand like no other",
    ["connection", "frobnicate"],
    "There is no command connection frobnicate.",
    /^Commands are connection list, /,
  ],
  ["a command like no other", ["frobnicate"], "There is no command frobnicate.", /^Commands are login, token, /],
  ["help on what is not there", ["help", "logni"], "There is no command logni.", "Did you mean login?"],
  ["the command in capitals", ["LOGIN", "github"], "There is no command LOGIN.", "Did you mean login?"],
  ["a letter of another alphabet", ["t\u043eken", "github"], "There is no command t\u043eken.", "Did you mean token?"],
  ["an empty command", [""], "There is no command .", /^Commands are login, /],
  ["a dash for a command", ["-"], "There is no option -.", /^Before a command stand only --json, /],
  [
    "control characters",
    ["lo\u001b[31mgin\u0007"],
    /^There is no command lo\ufffd\[31mgin\ufffd\.$/,
    /^(Did you mean|Commands are) login/,
  ],
  ["a command as long as can be", [HUGE], /^There is no command x{100,800}…$/, /^Commands are login, /],
  // Options.
  [
    "a misspelt option",
    ["login", "github", "--clientid", "x"],
    "There is no option --clientid for login.",
    "Did you mean --client-id?",
  ],
  [
    "the opposite of a flag",
    ["status", "--no-quiet"],
    "There is no option --no-quiet for status.",
    "It is so unless --quiet is given: leave that out.",
  ],
  [
    "the opposite of a flag before any command",
    ["--no-quiet"],
    "There is no option --no-quiet.",
    "It is so unless --quiet is given: leave that out.",
  ],
  [
    "the opposite of a flag that says no",
    ["login", "github", "--wait"],
    "There is no option --wait for login.",
    "It is so unless --no-wait is given: leave that out.",
  ],
  [
    "the opposite of an option that is no flag",
    ["login", "github", "--no-browser"],
    "There is no option --no-browser for login.",
    "Did you mean --browser?",
  ],
  ["a misspelt option of everywhere", ["--jsn"], "There is no option --jsn.", "Did you mean --json?"],
  [
    "an option before its command",
    ["--connection", "work", "token", "github"],
    "--connection stands before the command.",
    /^Write the command first: authline token --connection\./,
  ],
  [
    "an option of another command",
    ["status", "--min-ttl", "5m"],
    "There is no option --min-ttl for status.",
    "See: authline status --help",
  ],
  ["a short option", ["login", "github", "-c", "x"], "There is no option -c for login.", "See: authline login --help"],
  [
    "a short option behind a flag",
    ["login", "github", "--no-wait", "-x"],
    "There is no option -x for login.",
    "See: authline login --help",
  ],
  [
    "a short option with a value",
    ["login", "github", "-=x"],
    "There is no option -= for login.",
    "See: authline login --help",
  ],
  [
    "an option without a name",
    ["login", "github", "--=x"],
    /^There is no option --? for login\.$/,
    "See: authline login --help",
  ],
  [
    "an option that JavaScript knows",
    ["login", "github", "--__proto__", "x"],
    "There is no option --__proto__ for login.",
    "See: authline login --help",
  ],
  [
    "an option twice",
    ["login", "github", "--scope", "a", "--scope=b"],
    "--scope was given twice.",
    "Give --scope once.",
  ],
  ["a flag twice", ["login", "github", "--new", "--new"], "--new was given twice.", "Give --new once."],
  [
    "a flag with a value",
    ["login", "github", "--no-wait=false"],
    "--no-wait takes no value.",
    "Write --no-wait alone, or leave it out.",
  ],
  ["one of everywhere with a value", ["token", "github", "--json=1"], "--json takes no value.", "Write --json alone."],
  [
    "an option that ends the line",
    ["login", "github", "--client-id"],
    "--client-id needs a value.",
    "Write --client-id=ID.",
  ],
  [
    "an option where a value is due",
    ["login", "github", "--scope", "--new"],
    "--scope needs a value.",
    "Write --scope=SCOPES.",
  ],
  ["an empty value", ["login", "github", "--scope="], "--scope needs a value.", "Write --scope=SCOPES."],
  ["an empty word for a value", ["login", "github", "--scope", ""], "--scope needs a value.", "Write --scope=SCOPES."],
  // Values.
  ["a word for a time", ["login", "github", "--timeout", "soon"], '--timeout cannot be "soon".', TIME("1s")],
  ["a negative time", ["login", "github", "--timeout", "-5s"], '--timeout cannot be "-5s".', TIME("1s")],
  ["no time at all", ["login", "github", "--timeout=0"], '--timeout cannot be "0".', TIME("1s")],
  ["a time without end", ["token", "github", "--min-ttl", "99999d"], '--min-ttl cannot be "99999d".', TIME("0s")],
  ["a negative number", ["audit", "--last", "-1"], '--last cannot be "-1".', "It is a whole number."],
  ["a number in other digits", ["audit", "--last", "\u0661"], '--last cannot be "\u0661".', "It is a whole number."],
  [
    "a choice that is none",
    ["login", "github", "--flow", "implicit"],
    '--flow cannot be "implicit".',
    `It is one of ${["auto", ...grants, "api_key"].join(", ")}.`,
  ],
  ["a schema that is none", ["schema", "evnet"], '<name> cannot be "evnet".', "It is one of event, command, provider."],
  [
    "a secret in the arguments",
    ["login", "github", "--client-secret-from", "hunter2"],
    "--client-secret-from does not name a source.",
    /^Write env:NAME, file:PATH, stdin or cmd:COMMAND\./,
  ],
  [
    "two that read standard input",
    ["login", "github", "--client-id", "x", "--client-secret-from", "stdin", "--registration-token-from", "stdin"],
    "--client-secret-from and --registration-token-from both read standard input.",
    "Give one of them as env:NAME, file:PATH or cmd:COMMAND.",
  ],
  [
    "an issuer in clear text",
    ["login", "acme", "--issuer", "http://login.acme.example"],
    '--issuer cannot be "http://login.acme.example".',
    /^An issuer is an https address/,
  ],
  [
    "a value as long as can be",
    ["login", "github", "--connection", HUGE],
    /^--connection cannot be "x{100,800}…$/,
    NAME,
  ],
  ["a name with control characters", ["token", "git\u001b[2Jhub"], '<provider> cannot be "git\ufffd[2Jhub".', NAME],
  ["a name from another alphabet", ["token", "g\u0456thub"], '<provider> cannot be "g\u0456thub".', NAME],
  ["a name with a path in it", ["token", "../../etc/passwd"], '<provider> cannot be "../../etc/passwd".', NAME],
  ["a dash for a name", ["token", "-"], '<provider> cannot be "-".', NAME],
  [
    "a session that is none",
    ["session", "show", "sess_1"],
    '<id> cannot be "sess_1".',
    "It is sess_ and 22 characters more.",
  ],
  // Arguments.
  ["a missing argument", ["login"], "<provider> is missing.", new RegExp(`^For example: ${LOGIN}`)],
  ["nothing behind the double dash", ["login", "--"], "<provider> is missing.", new RegExp(`^For example: ${LOGIN}`)],
  [
    "an argument too many",
    ["token", "github", "gitlab"],
    "There is one argument too many: gitlab",
    /^For example: authline token github /,
  ],
  [
    "one behind the double dash",
    ["token", "github", "--", "--refresh"],
    "There is one argument too many: --refresh",
    "Did you mean --refresh?",
  ],
  [
    "options that contradict each other",
    ["logout", "github", "--all", "--connection", "work"],
    "--all and --connection contradict each other.",
    "Give one of them.",
  ],
  [
    "an option without the one that it needs",
    ["skill", "--force"],
    "A folder and --force go with --install only.",
    "Add --install.",
  ],
];

afterAll(async () => {
  await sweep();
});

test.concurrent.each(cases)("%s", async (_, argv, message, hint) => {
  const home = tempHome();
  const run = await program(argv, { home, cwd: home, stdin: "held-open", timeoutMs: 10_000 }).done;
  expect(checkStream(run.stdout, { exitCode: run.code })).toEqual([]);
  expect(run.events).toHaveLength(1);
  const [{ error, status, exit_code } = {}] = run.events as [Partial<(typeof run.events)[0]>];
  expect({ status, exit_code, code: error?.code }).toEqual({ status: "error", exit_code: 64, code: "usage" });
  const like = (words: RegExp | string) => (typeof words === "string" ? words : expect.stringMatching(words));
  expect({ message: error?.message, hint: error?.hint }).toEqual({ message: like(message), hint: like(hint) });
  expect(run.stderr).toBe(`error: ${error?.message}\n${error?.hint}\n`);
  // That somebody tried may stand in the audit log.
  expect(readdirSync(home).filter((file) => file !== "audit.ndjson")).toEqual([]);
});
