/**
 * The person with a browser: the same pages as `person.ts`, in a Chromium that is already installed. Every visit gets a
 * context of its own, so that nobody is signed in from before.
 */
import { type Browser, chromium, type Page } from "playwright-core";
import { titles } from "./authorization-server-pages.ts";
import { findChromium } from "./chromium.mjs";
import type { Person } from "./person.ts";

export interface BrowserVisit extends Person {
  /** A browser that is already running; without it one is started for this visit. */
  readonly browser?: Browser;
  /** A look at the last page before it is closed: more checks, a screenshot. */
  readonly inspect?: (page: Page) => Promise<unknown>;
}

/** What stands in the window at the end. */
export interface Landing {
  /** The address bar. */
  readonly url: string;
  readonly title: string;
  /** The visible text. */
  readonly text: string;
}

/** The caller closes it. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  return chromium.launch({
    ...(executablePath !== undefined && { executablePath }), // else the one that playwright has installed
    headless: true,
    // Chromium's sandbox refuses to work for root, and only then may it be off.
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export async function withBrowser<T>(use: (browser: Browser) => Promise<T>): Promise<T> {
  const browser = await startBrowser();
  try {
    return await use(browser);
  } finally {
    await browser.close();
  }
}

/** From the authorization URL through sign-in and consent to the loaded callback page. */
export async function signInWithBrowser(authUrl: string | URL, visit: BrowserVisit = {}): Promise<Landing> {
  return inPage(visit, async (page) => {
    const { origin } = new URL(authUrl);
    await page.goto(String(authUrl));
    await signIn(page, visit);
    await page.waitForURL((url) => url.origin !== origin, { waitUntil: "load" });
  });
}

/** From `verification_uri_complete` to the page that says how it ended. */
export async function approveDeviceWithBrowser(
  verificationUriComplete: string | URL,
  visit: BrowserVisit = {},
): Promise<Landing> {
  return inPage(visit, async (page) => {
    await page.goto(String(verificationUriComplete));
    if (visit.decision === "deny") {
      await page.getByRole("button", { name: "Deny" }).click();
      await heading(page, titles.denied);
      return;
    }
    await page.getByRole("button", { name: "Continue" }).click();
    await signIn(page, visit);
    await heading(page, titles.deviceDone);
  });
}

async function signIn(page: Page, { login = "alice", decision = "allow" }: Person): Promise<void> {
  await page.getByLabel("Login").fill(login);
  await page.getByLabel("Password").fill("any");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: decision === "deny" ? "Deny" : "Allow" }).click();
}

const heading = (page: Page, name: string) => page.getByRole("heading", { name }).waitFor();

async function inPage(visit: BrowserVisit, go: (page: Page) => Promise<void>): Promise<Landing> {
  if (visit.browser === undefined) return withBrowser((browser) => inPage({ ...visit, browser }, go));
  const context = await visit.browser.newContext();
  try {
    context.setDefaultTimeout(15_000);
    const page = await context.newPage();
    await go(page);
    await visit.inspect?.(page);
    const text = await page.locator("body").innerText();
    return { url: page.url(), title: await page.title(), text };
  } finally {
    await context.close();
  }
}
