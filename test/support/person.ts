/**
 * A person without a browser: follows redirects with cookies, fills in forms and presses buttons over plain HTTP. It reads
 * the pages as they come, so that it needs no knowledge of the order in which a server shows them.
 */

export interface Person {
  /** Default `alice`. Any password will do. */
  readonly login?: string;
  /** Default `allow`. `deny` presses the first button that says so. */
  readonly decision?: "allow" | "deny";
}

export interface Page {
  readonly url: URL;
  readonly status: number;
  readonly title: string;
  readonly body: string;
}

/** Either the address to which the server sent the person away (not fetched), or the page with nothing left to do. */
export type Journey = { readonly left: URL } | { readonly page: Page };

/** Through sign-in and consent: returns the callback URL, with `code` or `error`, without fetching it. */
export async function approveRedirect(authUrl: string | URL, person: Person = {}): Promise<URL> {
  const journey = await travel(authUrl, person);
  if ("left" in journey) return journey.left;
  throw new Error(`the sign-in stopped at ${describe(journey.page)}`);
}

/** Through the pages behind a `verification_uri_complete`, to the one that ends it. */
export async function visitDevicePages(verificationUriComplete: string | URL, person: Person = {}): Promise<Page> {
  const journey = await travel(verificationUriComplete, person);
  if ("page" in journey) return journey.page;
  throw new Error(`the device pages sent the person away to ${journey.left.origin}`);
}

/** The GET of a callback, as the browser would do it at the end. */
export async function visit(url: string | URL): Promise<{ status: number; headers: Headers; body: string }> {
  const response = await fetch(url, { redirect: "manual", headers: { accept: "text/html" } });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

export function describe(page: Page): string {
  const words = page.body.replace(/<(style|script)[\s\S]*?<\/\1>|<[^>]*>/g, " ").replace(/\s+/g, " ");
  return `${page.url.pathname} (${page.status}): ${words.trim().slice(0, 300)}`;
}

async function travel(start: string | URL, person: Person): Promise<Journey> {
  const { origin } = new URL(start);
  const cookies = new CookieJar();
  let url = new URL(start);
  let form: URLSearchParams | undefined;
  // More pages than any sign-in has: a server that goes in circles must not hang the test.
  for (let step = 0; step < 30; step += 1) {
    const response = await fetch(url, {
      redirect: "manual",
      headers: { accept: "text/html", cookie: cookies.header(url) },
      ...(form && { method: "POST", body: form }),
    });
    cookies.take(url, response.headers);
    const body = await response.text();
    const location = response.headers.get("location");
    if (location !== null && response.status >= 300 && response.status < 400) {
      url = new URL(location, url);
      form = undefined;
      if (url.origin !== origin) return { left: url };
      continue;
    }
    const title = /<title>(.*?)<\/title>/.exec(body)?.[1] ?? "";
    const page: Page = { url, status: response.status, title, body };
    const submission = response.ok ? fill(page, person) : undefined;
    if (submission === undefined) return { page };
    url = submission.action;
    form = submission.fields;
  }
  throw new Error(`${origin} leads in circles`);
}

/** What submitting the page's form would send; undefined where there is no form, or a field this person cannot fill. */
function fill(page: Page, person: Person): { action: URL; fields: URLSearchParams } | undefined {
  const form = tags(page.body, "form")[0];
  if (form === undefined) return undefined;
  const known: Record<string, string> = { login: person.login ?? "alice", password: "any" };
  const fields = new URLSearchParams();
  for (const { name, type, value } of tags(page.body, "input")) {
    if (name === undefined) continue;
    const content = type === "hidden" ? value : known[name];
    if (content === undefined) return undefined;
    fields.set(name, content);
  }
  const buttons = tags(page.body, "button");
  const no = buttons.find(({ label }) => label === "Deny");
  const pressed = person.decision === "deny" && no !== undefined ? no : buttons.find((button) => button !== no);
  if (pressed?.name !== undefined) fields.set(pressed.name, pressed.value ?? "");
  return { action: new URL(form.action ?? "", page.url), fields };
}

interface Tag {
  readonly name?: string;
  readonly type?: string;
  readonly value?: string;
  readonly action?: string;
  readonly label?: string;
}

/** The attributes of every such tag on a page, and the words right behind it. Enough for pages of our own. */
function tags(html: string, tag: string): Tag[] {
  return [...html.matchAll(new RegExp(`<${tag}\\b([^>]*)>([^<]*)`, "g"))].map(([, attributes = "", label = ""]) => ({
    ...Object.fromEntries(
      [...attributes.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key, value = ""]) => [key, plain(value)]),
    ),
    label: label.trim(),
  }));
}

const plain = (value: string) =>
  value
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");

/** Cookies by name and path, for one host: a server gives every sign-in its own path. */
class CookieJar {
  readonly #cookies = new Map<string, { name: string; value: string; path: string }>();

  take(url: URL, headers: Headers): void {
    for (const line of headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(/; */);
      const name = pair.slice(0, pair.indexOf("="));
      const value = pair.slice(pair.indexOf("=") + 1);
      const read = (wanted: string) =>
        attributes.find((one) => one.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
      const path = read("path") ?? url.pathname;
      const expires = read("expires");
      if (expires !== undefined && Date.parse(expires) <= Date.now()) this.#cookies.delete(`${name} ${path}`);
      else this.#cookies.set(`${name} ${path}`, { name, value, path });
    }
  }

  header(url: URL): string {
    return [...this.#cookies.values()]
      .filter(({ path }) => url.pathname.startsWith(path))
      .map(({ name, value }) => `${name}=${value}`)
      .join("; ");
  }
}
