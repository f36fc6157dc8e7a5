// The page: reads the description beside it, lists its operations, opens the one that the address names.
import { element, shown } from "./element.js";
import { tryIt } from "./request.js";
import { members, parameters, resolve } from "./schema.js";
import { words } from "./words.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const description = document.getElementById("description").href;
const main = document.getElementById("main");
const index = document.getElementById("index");
const filter = document.getElementById("filter");

function operations(api) {
  return Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ method, path, operation: item[method] })));
}

function examples(content) {
  const named = Object.entries(content.examples ?? {}).map(([name, example]) => [name, example.value]);
  return content.example === undefined ? named : [["", content.example], ...named];
}

function answer(api, status, node) {
  const response = resolve(api, node);
  const headers = Object.keys(response.headers ?? {}).filter((name) => name !== "X-Request-Id");
  const [kind, content] = Object.entries(response.content ?? {})[0] ?? [];
  const problem = kind === "application/problem+json";
  return element("details", {},
    element("summary", {}, element("span", { class: `status ${status < 400 ? "good" : "bad"}` }, status), " ", words(response.description)[0]?.textContent),
    kind && element("p", { class: "quiet" }, kind, headers.length > 0 && `, with ${headers.join(", ")}`),
    content && !problem && members(api, content.schema),
    content && examples(content).map(([name, value]) => [name && element("h4", {}, element("code", {}, name)), element("pre", { tabindex: "0" }, shown(value))]));
}

function inside(api, base, one) {
  const { operation } = one;
  const body = resolve(api, operation.requestBody).content?.["application/json"];
  return element("div", { class: "inside" },
    words(operation.description),
    element("p", { class: "quiet" }, operation.security.length > 0 ? "Needs an access token." : "Needs no token."),
    operation.parameters?.length > 0 && [element("h3", {}, "Parameters"), parameters(api, operation.parameters.map((parameter) => resolve(api, parameter)))],
    body && [element("h3", {}, "Body"), members(api, body.schema)],
    element("h3", {}, "Answers"),
    element("div", { class: "answers" }, Object.entries(operation.responses).map(([status, node]) => answer(api, status, node))),
    tryIt(api, base, one));
}

/** An operation, whose inside is made when it is opened first. */
function section(api, base, one) {
  const { method, path, operation } = one;
  const made = element("details", { class: "operation", id: operation.operationId },
    element("summary", {}, element("span", { class: `method ${method}` }, method.toUpperCase()), element("span", { class: "path" }, path),
      element("span", { class: "words" }, operation.summary)));
  made.addEventListener("toggle", () => {
    if (made.open && made.children.length === 1) made.append(inside(api, base, one));
    if (made.open) history.replaceState(null, "", `#${operation.operationId}`);
  });
  return made;
}

function link({ method, path, operation }) {
  return element("li", {}, element("a", { href: `#${operation.operationId}`, title: operation.summary },
    element("span", { class: `method ${method}` }, method.toUpperCase()), element("span", {}, path.replace("/api/v1", ""))));
}

function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!named?.classList.contains("operation")) return;
  named.open = true;
  named.querySelector("summary").focus({ preventScroll: true });
  named.scrollIntoView();
}

function narrow() {
  const wanted = filter.value.trim().toLowerCase();
  for (const item of index.querySelectorAll("li")) {
    const text = `${item.textContent} ${item.firstChild.title}`.toLowerCase();
    item.hidden = !text.includes(wanted);
    document.getElementById(item.firstChild.hash.slice(1)).hidden = item.hidden;
  }
  for (const part of document.querySelectorAll("#index > section, main > section.tag")) {
    part.hidden = [...part.querySelectorAll("li, .operation")].every((one) => one.hidden);
  }
}

function show(api) {
  document.title = document.getElementById("title").textContent = api.info.title;
  document.getElementById("version").textContent = api.info.version;
  const base = new URL(api.servers[0].url, description).href.replace(/\/$/, "");
  const all = operations(api);
  main.replaceChildren(element("section", {}, words(api.info.description, 2),
    element("p", {}, "The description itself: ", element("a", { href: description }, "openapi.json"))));
  for (const { name, description: about } of api.tags) {
    const tagged = all.filter(({ operation }) => operation.tags.includes(name));
    main.append(element("section", { class: "tag" }, element("h2", {}, name), words(about), tagged.map((one) => section(api, base, one))));
    index.append(element("section", {}, element("h2", {}, name), element("ul", {}, tagged.map(link))));
  }
  filter.addEventListener("input", narrow);
  addEventListener("hashchange", openNamed);
  openNamed();
}

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  event.preventDefault();
  filter.focus();
});

try {
  const response = await fetch(description, { credentials: "omit" });
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  show(await response.json());
} catch (error) {
  document.getElementById("state").textContent = `The description could not be read: ${error.message}`;
}
