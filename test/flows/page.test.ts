import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, BrowserContextOptions } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type PageOutcome, page, type StrayStatus, strayPage } from "../../src/flows/page.ts";
import { startBrowser } from "../support/browser.ts";

const words: [PageOutcome, string, string][] = [
  ["signed_in", "You’re signed in to GitHub", "You can close this tab and go back to your terminal."],
  [
    "denied",
    "Sign-in to GitHub was declined",
    "Nothing was shared. You can close this tab, or go back to your terminal to try again.",
  ],
  ["failed", "Sign-in to GitHub did not finish", "Your terminal says why and what to do next. You can close this tab."],
];
const outcomes = words.map(([outcome]) => outcome);

const between = (body: string, tag: string) => body.split(`<${tag}>`)[1]?.split(`</${tag}>`)[0] ?? "";
const sha256 = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

describe("page", () => {
  test.each(outcomes)("%s: the headers", (outcome) => {
    const { status, headers, body } = page(outcome, { displayName: "Café" });
    expect(status).toBe(200);
    expect(headers).toEqual({
      "Content-Type": "text/html; charset=utf-8",
      "Content-Length": String(new TextEncoder().encode(body).length),
      "Content-Security-Policy":
        `default-src 'none'; style-src ${sha256(between(body, "style"))}; script-src ${sha256(between(body, "script"))}; ` +
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cache-Control": "no-store",
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
      "X-Frame-Options": "DENY",
      Connection: "close",
    });
  });

  test.each(outcomes)("%s: a display name is text, whatever is in it", (outcome) => {
    const displayName = `</title><script>alert("1")</script><img src=x onerror='2'>&amp;$&`;
    const { body } = page(outcome, { displayName });
    expect(body).not.toContain(displayName);
    expect(body.match(/<script/g)).toHaveLength(1);
    expect(body).not.toContain("<img");
    const escaped =
      "&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&lt;img src=x onerror=&#39;2&#39;&gt;&amp;amp;$&amp;";
    expect(between(body, "title")).toContain(escaped);
    expect(between(body, "h1")).toContain(`<bdi>${escaped}</bdi>`);
  });

  test.each(outcomes)("%s: refers to nothing outside itself", (outcome) => {
    const { body } = page(outcome, { displayName: "GitHub" });
    expect(body).not.toMatch(/https?:|url\(|@import|\bsrc=|style="|\bon\w+="/);
    expect(body.match(/href="[^"]*"/g)).toEqual(['href="data:,"']);
  });
});

describe("strayPage", () => {
  test.each<StrayStatus>([400, 404, 405, 421])("%i: plain, short, not kept", (status) => {
    const { headers, body, ...rest } = strayPage(status);
    expect(rest).toEqual({ status });
    expect(body).toMatch(/^[A-Z][\w ,.-]{10,100}\.\n$/);
    expect(headers).toEqual({
      "Content-Type": "text/plain; charset=utf-8",
      "Content-Length": String(body.length),
      "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
      "Cache-Control": "no-store",
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
      "X-Frame-Options": "DENY",
      Connection: "close",
      ...(status === 405 && { Allow: "GET" }),
    });
  });
});

describe("in a browser", { timeout: 30_000 }, () => {
  let browser: Browser;
  let server: Server;
  let origin: string;
  let answer: ReturnType<typeof page>;
  let requests: string[];

  beforeAll(async () => {
    browser = await startBrowser();
  }, 60_000);
  afterAll(() => browser?.close());

  beforeEach(async () => {
    requests = [];
    server = createServer((request, response) => {
      requests.push(`${request.method} ${request.url}`);
      response.writeHead(answer.status, answer.headers).end(answer.body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  /** Opens the answer as a callback, and keeps what the browser complains about. */
  async function visit(outcome: PageOutcome, options: BrowserContextOptions = {}, displayName = "GitHub") {
    answer = page(outcome, { displayName });
    const context = await browser.newContext({ reducedMotion: "reduce", ...options });
    const tab = await context.newPage();
    const complaints: string[] = [];
    tab.on("console", (message) => complaints.push(message.text()));
    tab.on("pageerror", (error) => complaints.push(String(error)));
    await tab.addInitScript(
      `addEventListener("securitypolicyviolation", (e) => console.error("CSP", e.violatedDirective, e.blockedURI))`,
    );
    await tab.goto(`${origin}/callback?code=x&state=y#z`, { waitUntil: "load" });
    return { tab, complaints };
  }

  test.each(words)("%s: right words, clean address bar, one request, no complaint", async (outcome, heading, text) => {
    const { tab, complaints } = await visit(outcome);
    expect(await tab.getByRole("main").getByRole("heading", { level: 1 }).textContent()).toBe(heading);
    expect(await tab.getByRole("status").getByText(text).isVisible()).toBe(true);
    expect(await tab.title()).toBe(heading);
    expect(tab.url()).toBe(`${origin}/callback`);
    expect(await tab.evaluate("history.length")).toBeLessThanOrEqual(2); // about:blank and us: replaced, not pushed
    await tab.waitForTimeout(300); // headless Chromium asks for no favicon anyway: the icon link is held above
    expect(requests).toEqual(["GET /callback?code=x&state=y"]);
    expect(complaints).toEqual([]);
  });

  test("the policy is in force: any other script or style is refused, and we would hear of it", async () => {
    const { tab, complaints } = await visit("signed_in");
    await tab.evaluate(
      `document.body.append(Object.assign(document.createElement("script"), { text: "window.x = 1" }))`,
    );
    await tab.evaluate(`document.body.append(Object.assign(document.createElement("style"), { textContent: "p{}" }))`);
    expect(await tab.evaluate("window.x")).toBeUndefined();
    await expect.poll(() => complaints).toContain("CSP script-src-elem inline");
    await expect.poll(() => complaints).toContain("CSP style-src-elem inline");
  });

  test.each(outcomes)("%s: light and dark differ, and both are easy to read (WCAG AA)", async (outcome) => {
    const papers: string[] = [];
    for (const colorScheme of ["light", "dark"] as const) {
      const { tab } = await visit(outcome, { colorScheme });
      const colour = (selector: string, property = "color") =>
        tab.evaluate<string>(`getComputedStyle(document.querySelector("${selector}")).${property}`);
      const paper = await colour("body", "backgroundColor");
      papers.push(paper);
      for (const selector of ["h1", "p", "footer", "svg"])
        expect(contrast(await colour(selector), paper), `${selector}, ${colorScheme}`).toBeGreaterThanOrEqual(4.5);
    }
    expect(papers[0]).not.toBe(papers[1]);
  });

  // 640 px at 200% zoom lays out as 320 px do: WCAG 1.4.10.
  test.each(["GitHub", "An unreasonably long provider name ".repeat(4), "x".repeat(120)])(
    "320 px wide, %s: nothing is cut off",
    async (displayName) => {
      const { tab } = await visit("signed_in", { viewport: { width: 320, height: 480 } }, displayName);
      expect(await tab.evaluate("document.documentElement.scrollWidth")).toBe(320);
    },
  );

  test("reads without script", async () => {
    const { tab } = await visit("failed", { javaScriptEnabled: false });
    expect(await tab.getByRole("heading", { level: 1 }).isVisible()).toBe(true);
  });

  test("motion only for who wants it, and it ends with everything in view", async () => {
    const running = "document.getAnimations().length";
    expect(await (await visit("signed_in", { reducedMotion: "reduce" })).tab.evaluate(running)).toBe(0);
    const { tab, complaints } = await visit("signed_in", { reducedMotion: "no-preference" });
    await expect.poll(() => tab.evaluate(running), { timeout: 5_000 }).toBe(0);
    expect(await tab.evaluate(`getComputedStyle(document.querySelector(".words")).opacity`)).toBe("1");
    expect(complaints).toEqual([]);
  });
});

/** WCAG 2 contrast ratio of two `rgb(r, g, b)`. */
function contrast(a: string, b: string): number {
  const luminance = (colour: string) => {
    const [r = 0, g = 0, b = 0] = (colour.match(/\d+/g) ?? []).map((part) => {
      const channel = Number(part) / 255;
      return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}
