// Uses the page as somebody would who tries the API, and prints a report: browse.mjs URL BROWSER FOLDER-FOR-PICTURES.
// It fails on a request to another origin, on an error in the console, and where the page is wider than the screen.
import assert from "node:assert/strict";
import puppeteer from "puppeteer-core";

const [url, executablePath, pictures] = process.argv.slice(2);
const browser = await puppeteer.launch({
  executablePath,
  // Chromium refuses root with its sandbox. What the page asks elsewhere would be seen, and go nowhere.
  args: ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
const requests = new Map();
const wrong = [];

/** Waits for the answer that an operation's form shows, and gives its first line. */
async function answer(page, operation) {
  const shown = `#${operation} .try .status`;
  await page.waitForFunction((at) => / ms$/.test(document.querySelector(at)?.textContent ?? ""), { timeout: 20_000 }, shown);
  return page.$eval(shown, (status) => status.textContent);
}

async function send(page, operation, status) {
  await page.$eval(`#${operation} .send`, (button) => button.click());
  assert.match(await answer(page, operation), status, operation);
}

/** By the keyboard alone: the filter, a link, the form. */
async function register(page, email) {
  await page.keyboard.press("/");
  await page.keyboard.type("register");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#register .send");
  await page.$eval("#register-body", (body, address) => {
    body.value = JSON.stringify({ ...JSON.parse(body.value), email: address });
    body.focus();
  }, email);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.match(await answer(page, "register"), /^201/);
  await page.$eval("#filter", (filter) => { filter.value = ""; filter.dispatchEvent(new Event("input")); });
}

async function visit(name, width, scheme) {
  const page = await browser.newPage();
  page.on("request", (request) => {
    const asked = new URL(request.url());
    const shown = asked.protocol === "data:" ? "data: (the icon)" : asked.origin === url ? asked.pathname : request.url();
    requests.set(`${request.method()} ${shown}`, (requests.get(`${request.method()} ${shown}`) ?? 0) + 1);
    if (asked.protocol !== "data:" && asked.origin !== url) wrong.push(`${name}: ${request.url()}`);
  });
  page.on("console", (message) => { if (["error", "warn"].includes(message.type())) wrong.push(`${name}: ${message.text()}`); });
  page.on("pageerror", (error) => wrong.push(`${name}: ${error.message}`));
  const look = async (what) => {
    await page.screenshot({ path: `${pictures}/${name}-${what}.png` });
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) wrong.push(`${name}: ${what} is too wide`);
  };
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: "reduce" }]);
  await page.goto(`${url}/docs`, { waitUntil: "networkidle0" });
  await look("top");
  await register(page, `${name}@example.com`);
  await look("register");
  await page.$eval("a[href='#chat_stream']", (link) => link.click());
  await page.waitForSelector("#chat_stream .send");
  await send(page, "chat_stream", /^200/);
  assert.match(await page.$eval("#chat_stream .try pre:last-child", (body) => body.textContent), /"is_complete":true/);
  await page.$eval("#chat_stream .try", (form) => form.scrollIntoView());
  await look("chat");
  await page.$eval("a[href='#me']", (link) => link.click());
  await page.waitForSelector("#me .send");
  await send(page, "me", /^200/);
  // Everything at once: no operation breaks the page.
  await page.$$eval(".operation, .operation details", (all) => all.forEach((one) => { one.open = true; }));
  await page.waitForFunction(() => [...document.querySelectorAll(".operation")].every((one) => one.children.length > 1));
  await page.$$eval(".operation details", (all) => all.forEach((one) => { one.open = true; }));
  await look("all");
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length + document.cookie.length), 0);
  await page.close();
}

const version = await browser.version();
await visit("desktop-light", 1280, "light");
await visit("desktop-dark", 1280, "dark");
await visit("phone-light", 360, "light");
await visit("phone-dark", 360, "dark");
await browser.close();
assert.deepEqual(wrong, []);

console.log(`# The page at /docs in a browser

\`scripts/soak docs-page\` wrote this page. ${version} read the page at 1280 and 360 pixels, light and dark, registered by the keyboard,
streamed a chat, asked who it is, and opened every operation. Nothing went to another origin, nothing was wider than the screen, the
console stayed empty, and nothing was stored.

| request | times |
| --- | --- |
${[...requests].sort().map(([request, times]) => `| \`${request}\` | ${times} |`).join("\n")}`);
