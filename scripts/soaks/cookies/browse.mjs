// Signs in by a cookie on a page of ours, then visits pages of others that try to act with it; prints a report: browse.mjs URL BROWSER.
import assert from "node:assert/strict";
import http from "node:http";
import puppeteer from "puppeteer-core";

const [url, executablePath] = process.argv.slice(2);
const app = "http://app.example.com";
const password = "correct horse battery staple";
const lines = [];

const stranger = http.createServer((_, response) => {
  response.setHeader("content-type", "text/html");
  response.end("<!doctype html><title>A stranger</title><iframe name=hidden></iframe>");
});
await new Promise((listening) => stranger.listen(0, "127.0.0.1", listening));

const rules = [
  `MAP app.example.com ${new URL(url).host}`,
  `MAP stranger.example 127.0.0.1:${stranger.address().port}`,
  `MAP neighbour.example.com 127.0.0.1:${stranger.address().port}`,
  "MAP * ~NOTFOUND",
  "EXCLUDE 127.0.0.1",
];
const browser = await puppeteer.launch({
  executablePath,
  // Chromium refuses root with its sandbox.
  args: ["--no-sandbox", "--disable-features=HttpsUpgrades", `--host-resolver-rules=${rules.join(", ")}`],
});

/** What our page is answered: status and body. */
const ask = (page, method, path, body, headers = {}) =>
  page.evaluate(
    async (method, path, body, headers) => {
      const json = body && { "content-type": "application/json" };
      const answer = await fetch(path, { method, body: body && JSON.stringify(body), headers: { ...json, ...headers } });
      return { status: answer.status, body: await answer.json().catch(() => null) };
    },
    method, path, body, headers,
  );

/** A form of the stranger's, with a JSON text in it as far as a form can. */
const form = (page, action, method, enctype, fields) =>
  page.evaluate(
    (action, method, enctype, fields) => {
      const form = document.body.appendChild(document.createElement("form"));
      Object.assign(form, { action, method, enctype, target: "hidden" });
      for (const [name, value] of Object.entries(fields)) {
        form.appendChild(Object.assign(document.createElement("input"), { name, value }));
      }
      form.submit();
    },
    action, method, enctype, fields,
  );

/** A request of the stranger's script: what it learns, or why it does not. */
const script = (page, path, options) =>
  page.evaluate(
    (url, options) => fetch(url, { credentials: "include", ...options }).then((answer) => answer.type, (error) => error.name),
    app + path, options,
  );

try {
  const page = await browser.newPage();
  await page.goto(`${app}/docs`, { waitUntil: "domcontentloaded" });
  const registration = { email: "ada@example.com", password, tenant_name: "Analytical Engines", accept_terms: true };
  const registered = await ask(page, "POST", "/api/v1/auth/register", registration, { "x-session": "cookie" });
  assert.equal(registered.status, 201);
  assert.ok(!("access_token" in registered.body || "refresh_token" in registered.body));
  const signedIn = await ask(page, "POST", "/api/v1/auth/token", { email: "ada@example.com", password }, { "x-session": "cookie" });
  assert.equal(signedIn.status, 200);
  assert.equal((await ask(page, "GET", "/api/v1/auth/me")).status, 200);
  assert.equal(await page.evaluate(() => document.cookie + localStorage.length + sessionStorage.length), "00");
  const [cookie, ...others] = await browser.cookies();
  assert.deepEqual([others.length, cookie.name, cookie.httpOnly, cookie.sameSite, cookie.path, cookie.domain],
    [0, "saas_session", true, "Lax", "/", "app.example.com"]);
  lines.push("| our page registers and signs in with `X-Session: cookie` | signed in; no token in any answer, no script sees the cookie |");

  const evil = await browser.newPage();
  const answers = [];
  evil.on("response", (answer) => { if (answer.url().startsWith(app)) answers.push(answer.status()); });
  const json = { "content-type": "application/json" };
  const attempts = [
    ["a form posts to sign out everywhere", () => form(evil, `${app}/api/v1/auth/logout/all`, "post", "text/plain", { "{}": "" })],
    ["a form posts a sign-in of the stranger's", () => form(evil, `${app}/api/v1/auth/token`, "post", "text/plain",
      { '{"email":"eve@example.com","password":"correct horse battery staple","x":"': '"}' })],
    ["a script posts what a form could", () => script(evil, "/api/v1/auth/logout/all", { method: "POST", mode: "no-cors" })],
    ["a script posts JSON", () => script(evil, "/api/v1/auth/logout", { method: "POST", body: "{}", headers: json })],
    ["a script asks for a cookie", () => script(evil, "/api/v1/auth/token", { method: "POST", body: "{}", headers: { ...json, "x-session": "cookie" } })],
    ["a script deletes the sessions", () => script(evil, "/api/v1/auth/sessions", { method: "DELETE" })],
    ["a script reads who is signed in", () => script(evil, "/api/v1/auth/me", {})],
  ];
  // Another site, whose requests have no cookie unless they look; and another host of the same site, whose requests all have it.
  for (const from of ["stranger.example", "neighbour.example.com"]) {
    await evil.goto(`http://${from}/`, { waitUntil: "load" });
    for (const [what, attempt] of attempts) {
      answers.length = 0;
      const learned = await attempt();
      await evil.waitForNetworkIdle({ idleTime: 200, timeout: 10_000 });
      assert.ok(answers.every((status) => status >= 400), `${what}: ${answers}`);
      assert.ok(learned === undefined || learned === "opaque" || learned === "TypeError", `${what}: ${learned}`);
      assert.equal((await ask(page, "GET", "/api/v1/auth/me")).status, 200, `after ${what}`);
      const sessions = await ask(page, "GET", "/api/v1/auth/sessions");
      assert.deepEqual([sessions.status, sessions.body.total], [200, 2], `after ${what}`);
      assert.equal((await browser.cookies())[0].value, cookie.value, `after ${what}`);
      lines.push(`| ${from}: ${what} | ${answers.length ? `answered ${answers.join(", ")}` : "the browser kept the answer from it"}; nothing changed |`);
    }
  }

  // A link from elsewhere finds its reader signed in (SameSite=Lax): looking changes nothing.
  await evil.goto("http://stranger.example/", { waitUntil: "load" });
  await evil.evaluate((to) => { location.href = to; }, `${app}/api/v1/auth/me`);
  await evil.waitForNavigation({ waitUntil: "load" }).catch(() => {});
  assert.match(await evil.evaluate(() => document.body.textContent), /ada@example.com/);
  lines.push("| a link leads from the stranger's page to ours | its reader is signed in there |");

  assert.equal((await ask(page, "POST", "/api/v1/auth/logout", {})).status, 200);
  assert.deepEqual(await browser.cookies(), []);
  assert.equal((await ask(page, "GET", "/api/v1/auth/me")).status, 401);
  lines.push("| our page signs out | the browser has no cookie any more |");

  console.log(`# Session cookies in a browser

By \`scripts/soak cookies\`, with ${await browser.version()}. Our page is at ${app}, a stranger's at\nhttp://stranger.example, another site, and a neighbour's at http://neighbour.example.com, another host of the same site.

| what | what came of it |
| --- | --- |
${lines.join("\n")}`);
} finally {
  await browser.close();
  stranger.close();
}
