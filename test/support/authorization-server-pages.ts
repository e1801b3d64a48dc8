/**
 * What a person sees at the authorization server: sign in, consent, and the device pages. Small, without script and without
 * outside assets, so that a browser without a network and a script without a browser read the same pages. Titles, labels
 * and buttons are what both of them go by.
 */
import { text } from "node:stream/consumers";
import type Provider from "oidc-provider";
import type { Configuration, Interaction } from "oidc-provider";

/** The koa middleware that oidc-provider takes, without naming koa, which is not ours to depend on. */
type Middleware = Parameters<Provider["use"]>[0];
type Context = Parameters<Middleware>[0];

export const titles = {
  login: "Sign in",
  consent: "Allow access",
  deviceInput: "Connect a device",
  deviceConfirm: "Confirm the device",
  deviceDone: "Device connected",
  denied: "Access denied",
  signOut: "Sign out",
  signedOut: "Signed out",
  error: "Something went wrong",
} as const;

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const html = (value: unknown) => String(value).replace(/[&<>"']/g, (character) => entities[character] ?? "");

function page(title: string, body: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${html(title)}</title>
<link rel="icon" href="data:,">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 4rem auto; padding: 0 1rem; color: #222; }
label { display: block; margin: 0 0 1rem; }
input { display: block; box-sizing: border-box; width: 100%; padding: .5rem; font: inherit; }
button { padding: .5rem 1.5rem; font: inherit; }
code { font-size: 1.5em; }
</style>
</head>
<body>
<h1>${html(title)}</h1>
${body}
</body>
</html>`;
}

function loginPage(hint: unknown): string {
  return page(
    titles.login,
    `<form method="post">
<label>Login <input type="text" name="login" value="${html(hint ?? "")}" autocomplete="off" required></label>
<label>Password <input type="password" name="password" autocomplete="off" required></label>
<button type="submit">Sign in</button>
</form>`,
  );
}

function consentPage(client: string, account: string | undefined, scope: unknown): string {
  const scopes = String(scope ?? "").split(" ");
  return page(
    titles.consent,
    `<p><strong>${html(client)}</strong> asks for access to the account <strong>${html(account)}</strong>:</p>
<ul>${scopes.map((name) => `<li>${html(name)}</li>`).join("")}</ul>
<form method="post">
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>`,
  );
}

/**
 * Shows and answers the two prompts that a person can meet on the way: who are you, and may this client. `acr` is how
 * everybody signs in here.
 */
export function interactions(provider: Provider, acr?: string): Middleware {
  return async (ctx, next) => {
    if (!ctx.path.startsWith("/interaction/")) return next();
    let details: Interaction;
    try {
      details = await provider.interactionDetails(ctx.req, ctx.res);
    } catch {
      ctx.status = 400;
      ctx.body = page(titles.error, "<p>This sign-in is over. Start again.</p>");
      return;
    }
    if (ctx.method === "POST") return answer(provider, ctx, details, acr);
    const { client_id, login_hint, scope } = details.params;
    if (details.prompt.name === "login") {
      ctx.body = loginPage(login_hint);
      return;
    }
    const client = await provider.Client.find(String(client_id));
    ctx.body = consentPage(client?.clientName ?? String(client_id), details.session?.accountId, scope);
  };
}

async function answer(provider: Provider, ctx: Context, details: Interaction, acr?: string): Promise<void> {
  const form = new URLSearchParams(await text(ctx.req));
  const finish = async (result: Parameters<Provider["interactionResult"]>[2]) => {
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result));
    ctx.status = 303;
  };
  if (form.get("decision") === "deny") {
    return finish({ error: "access_denied", error_description: "the person said no" });
  }
  if (details.prompt.name === "login") {
    return finish({ login: { accountId: form.get("login") || "nobody", ...(acr !== undefined && { acr }) } });
  }
  return finish({ consent: { grantId: await grantAll(provider, details) } });
}

/** Grants everything that was asked for and is not granted yet. */
async function grantAll(provider: Provider, { grantId, session, params, prompt }: Interaction): Promise<string> {
  const known = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const { client_id } = params;
  const asker = { accountId: session?.accountId ?? "", clientId: String(client_id) };
  const grant = known ?? new provider.Grant(asker);
  const { missingOIDCScope, missingOIDCClaims } = prompt.details as Record<string, string[] | undefined>;
  const { missingResourceScopes = {} } = prompt.details as { missingResourceScopes?: Record<string, string[]> };
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(" "));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes)) {
    grant.addResourceScope(resource, scopes.join(" "));
  }
  return grant.save();
}

type DeviceFlow = Exclude<NonNullable<Configuration["features"]>["deviceFlow"], undefined>;

/** The pages of RFC 8628 §3.3, around the forms that oidc-provider makes itself. */
export const devicePages = {
  userCodeInputSource(ctx, form, _out, error) {
    if (error?.name === "AbortedError") {
      ctx.body = page(titles.denied, "<p>Nothing was connected. You may close this page.</p>");
      return;
    }
    const why = error ? `<p role="alert">That did not work: ${html(error.message)}.</p>` : "";
    const button = `<button type="submit" form="op.deviceInputForm">Continue</button>`;
    ctx.body = page(titles.deviceInput, `${why}<p>Enter the code that your device shows.</p>${form}${button}`);
  },
  userCodeConfirmSource(ctx, form, client, _deviceInfo, userCode) {
    ctx.body = page(
      titles.deviceConfirm,
      `<p><strong>${html(client.clientName ?? client.clientId)}</strong> should show this code:</p>
<p><code>${html(userCode)}</code></p>
${form}
<button type="submit" form="op.deviceConfirmForm">Continue</button>
<button type="submit" form="op.deviceConfirmForm" name="abort" value="yes">Deny</button>`,
    );
  },
  successSource(ctx) {
    ctx.body = page(titles.deviceDone, "<p>You may close this page and go back to the device.</p>");
  },
} satisfies Partial<DeviceFlow>;

type Logout = Exclude<NonNullable<Configuration["features"]>["rpInitiatedLogout"], undefined>;

export const logoutPages = {
  logoutSource(ctx, form) {
    const button = `<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>`;
    ctx.body = page(titles.signOut, `${form}${button}`);
  },
  postLogoutSuccessSource(ctx) {
    ctx.body = page(titles.signedOut, "<p>You may close this page.</p>");
  },
} satisfies Partial<Logout>;

export const renderError: NonNullable<Configuration["renderError"]> = (ctx, out) => {
  ctx.type = "html";
  ctx.body = page(titles.error, `<p>${html(out.error)}: ${html(out.error_description ?? "")}</p>`);
};
