/**
 * What the loopback listener answers to a person's browser. The rules:
 * - Every word is ours. Nothing of the request and nothing of the server is ever shown, `error_description` least of all.
 * - The `code` leaves the address bar: one script, allowed by its hash, runs before anything is drawn.
 * - No other request follows: styles and drawing are inline, the icon is an empty `data:`, the policy forbids the rest.
 * - Words carry the outcome, the drawing repeats it, colour comes last. Without CSS and without script it still reads.
 */
import { createHash } from "node:crypto";

export type PageOutcome = "signed_in" | "denied" | "failed";

export interface Page {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** The line from the browser (left) to the terminal (right): it arrives, it was stopped on purpose, or it broke. */
const outcomes: Record<PageOutcome, { title: (name: string) => string; text: string; drawing: string }> = {
  signed_in: {
    title: (name) => `You’re signed in to ${name}`,
    text: "You can close this tab and go back to your terminal.",
    drawing: `<path d="M166 40h62"/><circle cx="232" cy="40" r="4" fill="currentColor"/><path stroke-width="4" d="m104 41 11 11 21-23"/>`,
  },
  denied: {
    title: (name) => `Sign-in to ${name} was declined`,
    text: "Nothing was shared. You can close this tab, or go back to your terminal to try again.",
    drawing: `<circle cx="232" cy="40" r="4"/><path stroke-width="4" d="M106 40h28"/>`,
  },
  failed: {
    title: (name) => `Sign-in to ${name} did not finish`,
    text: "Your terminal says why and what to do next. You can close this tab.",
    drawing: `<path stroke-dasharray="1 9" d="M168 40h52"/><circle cx="232" cy="40" r="4"/><path stroke-width="4" d="M120 24v19m0 12v.5"/>`,
  },
};

const script = `history.replaceState(null, "", location.pathname)`;

const style = `
:root { color-scheme: light dark; --paper: #faf9f6; --ink: #1d1f23; --soft: #575c64;
  --signed_in: #16794a; --denied: #566273; --failed: #99590a }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171b; --ink: #eff0f2; --soft: #a8aeb8; --signed_in: #62d29c; --denied: #a9b5c6; --failed: #efb567 }
}
* { box-sizing: border-box; margin: 0 }
body { min-height: 100vh; min-height: 100svh; display: grid; grid-template-rows: 1fr auto; padding: 1.5rem;
  background: var(--paper); color: var(--ink); text-align: center;
  font: 1.125rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", sans-serif }
main { align-self: center; justify-self: center; width: 100%; max-width: 36rem; padding: 2rem 0 }
svg { display: block; margin: 0 auto 2rem; max-width: 100%; height: auto }
.signed_in svg { color: var(--signed_in) } .denied svg { color: var(--denied) } .failed svg { color: var(--failed) }
h1 { font-size: clamp(1.625rem, 1.25rem + 2vw, 2.25rem); font-weight: 600; line-height: 1.2; letter-spacing: -.02em }
h1, p { overflow-wrap: anywhere; text-wrap: balance }
p { margin-top: 1rem; color: var(--soft) }
footer { color: var(--soft); font-size: .875rem; letter-spacing: .02em }
@media (prefers-reduced-motion: no-preference) {
  svg { animation: draw .7s cubic-bezier(.3, 0, .2, 1) backwards }
  .words { animation: rise .6s .15s cubic-bezier(.2, .7, .2, 1) backwards }
  @keyframes draw { from { clip-path: inset(0 100% 0 0) } to { clip-path: inset(0) } }
  @keyframes rise { from { opacity: 0; transform: translateY(.5rem) } }
}
`;

const sha256 = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const policy = [
  "default-src 'none'",
  `style-src ${sha256(style)}`,
  `script-src ${sha256(script)}`,
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (character) => entities[character] ?? "");

/** 200 for every outcome: the callback was received and understood, and a browser may put its own page over an error. */
export function page(outcome: PageOutcome, { displayName }: { displayName: string }): Page {
  const { title, text, drawing } = outcomes[outcome];
  const name = escapeHtml(displayName);
  const body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<script>${script}</script>
<title>${title(name)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<main class="${outcome}">
<svg width="240" height="80" viewBox="0 0 240 80" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
<circle cx="8" cy="40" r="4" fill="currentColor"/><path d="M12 40h62"/>
<circle cx="120" cy="40" r="36" fill="currentColor" fill-opacity=".1"/>${drawing}
</svg>
<div class="words" role="status">
<h1>${title(`<bdi>${name}</bdi>`)}</h1>
<p>${text}</p>
</div>
</main>
<footer>authline</footer>
</body>
</html>
`;
  return answer(200, body, {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": policy,
    "Cross-Origin-Opener-Policy": "same-origin",
  });
}

export type StrayStatus = 400 | 404 | 405 | 421;

const strays: Record<StrayStatus, string> = {
  400: "This is not the sign-in that your terminal is waiting for. Open the newest link it shows.",
  404: "There is nothing here. Your terminal shows the link to sign in with.",
  405: "Only GET is answered here.",
  421: "This address is not answered here.",
};

/** For what is not our callback: wrong state, path, method, Host. Plain and short; the listener goes on waiting. */
export function strayPage(status: StrayStatus): Page {
  return answer(status, `${strays[status]}\n`, {
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    ...(status === 405 && { Allow: "GET" }), // RFC 9110 §15.5.6: a 405 must name what is allowed
  });
}

function answer(status: number, body: string, headers: Record<string, string>): Page {
  const common = {
    "Content-Length": String(Buffer.byteLength(body)),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    Connection: "close",
  };
  return { status, headers: { ...headers, ...common }, body };
}
