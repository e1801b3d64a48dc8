import { loginAction, sessionActions, standardOf, trySoon } from "../actions.ts";
import { connectionOption, settings } from "../config.ts";
import type { Context } from "../context.ts";
import type { Outcome } from "../flow.ts";
import { grantFlows } from "../flows/index.ts";
import { givenIn, grantExamples, grantFlags } from "../flows/inputs.ts";
import type { Plan } from "../flows/plan.ts";
import { checkSource, SOURCES } from "../flows/secret.ts";
import { Failure, type NextAction, type Warning } from "../protocol/failure.ts";
import { grants } from "../providers/definition.ts";
import { nameOf } from "../providers/resource.ts";
import { REDIRECT_URI } from "../providers/url.ts";
import { failureWith, outcomeWith } from "../result.ts";
import type { SessionClear } from "../sessions/session.ts";
import { choice, command, flag, type Option, SIGN_IN_ENDS, text, under } from "./command.ts";
import {
  checkChallenge,
  checkClientId,
  checkDetails,
  checkHint,
  checkIssuer,
  checkKeyId,
  checkPrompt,
  checkRedirectUri,
  checkScope,
  maxAge,
  PROMPTS,
  setOption,
} from "./login_flags.ts";

const flags = await grantFlags();

export const login = command({
  positionals: { provider: { ...settings.provider, unless: "import" } },
  options: {
    connection: connectionOption,
    flow: choice("how to sign in", ["auto", ...grants, "api_key"], "auto", "FLOW"),
    scope: text("what to ask for, separated by spaces", "SCOPES", checkScope),
    browser: settings.browser,
    "redirect-uri": text(
      `the loopback address to return to; without a port takes a free one (${REDIRECT_URI})`,
      "URL",
      checkRedirectUri,
    ),
    "no-wait": flag("say what is to be done and end; authline session wait goes on from there"),
    new: flag("open another sign-in even if one for the same is open"),
    timeout: settings.login_timeout,
    ...under("The server and the client", {
      issuer: text("the authorization server, if the provider is not a known one", "URL", checkIssuer),
      set: setOption,
      challenge: text("what the resource has answered you in WWW-Authenticate", "CHALLENGE", checkChallenge),
      "client-id": text("the client that the provider registered for you", "ID", checkClientId),
      "client-secret-from": text(`where its secret is: ${SOURCES}`, "SOURCE", checkSource),
      "client-key-from": text(`where its private key is, in place of a secret: ${SOURCES}`, "SOURCE", checkSource),
      "client-key-id": text("what the provider calls that key, if the key does not say it", "KID", checkKeyId),
      "client-metadata-url": settings.client_metadata_url,
      "software-statement-from": text(`a statement that a registration needs: ${SOURCES}`, "SOURCE", checkSource),
      "registration-token-from": text(`a token that a registration needs: ${SOURCES}`, "SOURCE", checkSource),
    }),
    ...under("API keys", {
      "key-from": text(`where the API key is, for a provider that has them: ${SOURCES}`, "SOURCE", checkSource),
      import: text("take over the keys that are in a dotenv file; - is stdin", "FILE"),
      "no-verify": flag("do not try a key before it is stored"),
    }),
    ...under("What the server is asked for", {
      "acr-values": text("how you have to sign in, best first, in the server's words", "VALUES", checkScope),
      "max-age": maxAge,
      prompt: text(`what the server has to ask you: ${PROMPTS.join(", ")}`, "WHAT", checkPrompt),
      "login-hint": text("who is about to sign in, for the server to fill in", "WHO", checkHint),
      "authorization-details": text("what to ask for in JSON, if it knows that; or @FILE", "JSON", checkDetails),
      dpop: flag("have the token bound to a key: programs that use it need authline proof"),
    }),
    ...(under("Sign-ins of programs, and on other devices", flags) as object), // known when it runs
  },
  examples: [
    "authline login github --client-id Iv1.0123456789abcdef",
    "authline login acme --issuer https://login.acme.example --client-id cli --flow device_code",
    "authline login acme --flow client_credentials --client-secret-from env:ACME_SECRET",
    "authline login acme --client-metadata-url https://client.example/authline.json",
    "authline login okta --set domain=acme.okta.com",
    "authline login openai --key-from env:OPENAI_API_KEY",
    "authline login --import .env",
    'authline login https://mcp.example.com/mcp --client-id cli --challenge "Bearer scope=read"',
    "authline login bank --client-key-from file:key.pem --client-key-id 2026 --dpop --authorization-details @payment.json",
    "authline login acme --acr-values phr --max-age 5m --prompt login --login-hint me@acme.example",
    'authline login acme --connection work --scope "openid email" --redirect-uri http://127.0.0.1:8400/callback',
    ...(await grantExamples()),
  ],
  ends: ["started", "auth_required", "auth_expired", ...SIGN_IN_ENDS],

  async *flow(args, ctx) {
    let session: SessionClear | undefined;
    const { provider: target = "", import: file } = args; // without a file there is one
    const warnings: Warning[] = []; // of what is done only once, and must not be missed
    let standard = "default";
    const done = new AbortController();
    try {
      mustReadOnce(args);
      if (file !== undefined) {
        if (args["key-from"] !== undefined) {
          const hint = "Give one of them.";
          throw new Failure("usage", "--import and --key-from contradict each other.", { hint });
        }
        mustNotSay(args, [...OF_A_SIGN_IN, ...OF_A_SERVER], "an import");
        warnings.push(...(await ctx.store.prepare()));
        const { importFrom } = await import("../flows/import.ts");
        return outcomeWith<Outcome<"login" | "import">>(warnings, yield* importFrom(file, args, ctx));
      }
      const provider = nameOf(target);
      standard = await standardOf(provider, args.connection === undefined, ctx);
      const { connection = standard, flow } = args;
      warnings.push(...(await ctx.store.prepare({ provider, connection })));
      const { isByKey, signInByKey } = await import("../flows/api_key.ts");
      if (flow === "api_key" || (await isByKey({ ...args, provider }, ctx))) {
        mustNotSay(args, OF_A_SERVER, "a sign-in with an API key");
        return outcomeWith(warnings, yield* signInByKey({ ...args, provider }, ctx));
      }
      const { planOf } = await import("../flows/plan.ts");
      const given = givenIn(args, flags);
      const { alive } = await import("../flows/wait.ts");
      const planning = planOf({ ...args, provider: target, flow, given }, ctx);
      const plan = yield* alive(planning, "Waiting for what a flag that ends in -from names.", ctx);
      if (!(await isAttended(plan))) {
        mustNotBePicky(args);
        const { signIn } = await import("../flows/sign_in.ts");
        return outcomeWith(warnings, yield* signIn(plan, ctx));
      }
      const { begin, joinOrOpen, takePasted } = await import("../sessions/open.ts");
      session = await joinOrOpen(plan, { fresh: args.new }, ctx);
      if (args["no-wait"]) return outcomeWith(warnings, yield* begin(session, ctx));
      const { follow } = await import("../sessions/follow.ts");
      if (!Object.values(args).includes("stdin")) void takePasted(session, ctx, done.signal);
      return outcomeWith(warnings, yield* follow(session.session_id, ctx));
    } catch (error) {
      const asked = { ...args, provider: target };
      throw failureWith(
        warnings,
        session && ctx.signal.aborted
          ? leftOpen(session, ctx)
          : trySoon(withClient(error, asked, standard), again(asked, standard)),
      );
    } finally {
      done.abort();
    }
  },
});

/** To cancel the command is not to cancel the sign-in: somebody may be about to approve it. */
export const leftOpen = ({ session_id, expires_at }: SessionClear, { signal }: Context) =>
  new Failure("cancelled", `Cancelled by ${signal.reason}; the sign-in itself stays open.`, {
    hint: `Until ${expires_at}, authline session wait goes on with it, and authline session cancel ends it.`,
    next_actions: sessionActions(session_id),
    session_id,
  });

/** What waits for nobody, such as a program that signs in as itself, is no session: nothing could outlive the process. */
async function isAttended(plan: Plan): Promise<boolean> {
  const { chosenIn } = await import("../flows/plan.ts");
  const chosen = chosenIn(plan);
  return chosen === undefined || (await grantFlows[chosen]()).attended;
}

/** How somebody signs in can be asked for only where somebody does. */
function mustNotBePicky(args: Record<string, unknown>): void {
  const given = ["acr-values", "max-age", "prompt", "login-hint"].find((name) => args[name] !== undefined);
  if (given === undefined) return;
  throw new Failure("usage", `--${given} does not go with a sign-in that asks nobody.`);
}

/** Where a key is all there is, no server is asked for anything, and nobody is a client of it. */
const OF_A_SERVER = [
  ...["scope", "challenge", "client-id", "client-secret-from", "client-key-from", "client-key-id"],
  ...["software-statement-from", "registration-token-from", "dpop", "authorization-details", "acr-values"],
  ...["max-age", "prompt", "login-hint", "redirect-uri", "new", ...Object.keys(flags)],
];
const OF_A_SIGN_IN = ["flow", "issuer", "no-wait"];

/** A flag is an error where it would be ignored: whoever gave it meant something by it. */
function mustNotSay(args: Record<string, unknown>, names: string[], what: string): void {
  const given = names.find((name) => ![undefined, false, "auto"].includes(args[name] as undefined));
  if (given === undefined) return;
  throw new Failure("usage", `--${given} says nothing to ${what}.`, { hint: `Leave --${given} out.` });
}

/** What one flag has read of standard input is not there for another. */
function mustReadOnce(args: Record<string, unknown>): void {
  const both = Object.keys(args).filter((name) => args[name] === "stdin" || (name === "import" && args[name] === "-"));
  if (both.length < 2) return;
  throw new Failure("usage", `${both.map((name) => `--${name}`).join(" and ")} both read standard input.`, {
    hint: "Give one of them as env:NAME, file:PATH or cmd:COMMAND.",
  });
}

/** What lacks nothing but a client is the same command with one: without its other flags it would be another sign-in. */
function withClient(error: unknown, args: Again, standard: string): unknown {
  if (!(error instanceof Failure)) return error;
  const [action] = error.details.next_actions ?? [];
  if (action?.argv.at(-1) !== "{client_id}" || args["client-id"] !== undefined) return error;
  const argv = [...again(args, standard).argv, ...action.argv.slice(-2)];
  return new Failure(error.code, error.message, { ...error.details, next_actions: [{ ...action, argv }] });
}

interface Again {
  provider: string;
  connection: string | undefined;
  [option: string]: unknown;
}

/** What is about this call, or stands elsewhere in the command. */
const ONLY_NOW = new Set(["connection", "import", "no-wait", "new", "timeout"]);

function importAction({ provider, connection, import: file, "no-verify": untried }: Again): NextAction {
  const whose = [
    ...(provider === "" ? [] : [provider]),
    ...(connection === undefined ? [] : ["--connection", connection]),
  ];
  const argv = ["authline", "login", ...whose, "--import", String(file), ...(untried ? ["--no-verify"] : [])];
  return { id: "login", argv, description: "Take over what is in the file." };
}

/** The same command once more: until a login has succeeded, the name alone is not enough. */
function again(args: Again, standard: string): NextAction {
  const { provider, connection = standard, import: file } = args;
  if (file !== undefined) return importAction(args);
  const { argv, ...action } = loginAction(provider, connection, standard);
  const given = Object.entries<Option<unknown>>(login.options).flatMap(([name, { type, default: initial }]) => {
    const value = args[name];
    if (value === undefined || value === false || value === initial || ONLY_NOW.has(name)) return [];
    if (type === "boolean") return [`--${name}`];
    return [value].flat().flatMap((each) => {
      const text = String(each);
      return [`--${name}`, text.startsWith("cmd:") ? "cmd:{command}" : text]; // it may hold a secret of its own
    });
  });
  return { ...action, argv: [...argv, ...given] };
}
