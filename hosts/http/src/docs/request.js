// Trying an operation: a form, the request that it makes, and the answer as it arrives.
import { element, shown } from "./element.js";
import { resolve } from "./schema.js";
import * as token from "./token.js";

/** What the form holds, as a request. */
function request(base, method, path, fields, body) {
  let target = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { parameter, input } of fields) {
    const value = input.value;
    if (value === "") continue;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    if (parameter.in === "query") query.append(parameter.name, value);
    if (parameter.in === "header") headers[parameter.name] = value;
  }
  if (body) headers["Content-Type"] = "application/json";
  const search = query.size > 0 ? `?${query}` : "";
  return { url: base + target + search, method: method.toUpperCase(), headers, body: body?.value };
}

/** The same request for a shell; the token stays out of it. */
function curl({ url, method, headers, body }, secured) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = [`curl -sN -X ${method} ${quoted(url)}`];
  if (secured) lines.push(`-H "Authorization: Bearer $ACCESS"`);
  lines.push(...Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`));
  if (body !== undefined) lines.push(`-d ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

/** Shows the body as it arrives; what is JSON is set out at the end. */
async function read(response, into) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
    text += part.value;
    into.textContent = text;
  }
  if (!/json/.test(response.headers.get("content-type") ?? "")) return undefined;
  const json = JSON.parse(text);
  into.textContent = shown(json);
  return json;
}

function field(api, parameter, id) {
  const schema = resolve(api, parameter.schema);
  const attributes = { id, class: "value", placeholder: parameter.example ?? schema.example ?? schema.default ?? "", autocomplete: "off", required: parameter.required };
  const input = schema.type === "boolean"
    ? element("select", attributes, ["", "true", "false"].map((value) => element("option", { value }, value)))
    : element("input", attributes);
  return { parameter, input, label: element("label", { for: id, class: parameter.required && "required" }, parameter.name) };
}

/** The form of one operation. `base` is where the API is. */
export function tryIt(api, base, { method, path, operation }) {
  const secured = operation.security.length > 0;
  const name = operation.operationId;
  const fields = (operation.parameters ?? []).map((parameter, at) => field(api, resolve(api, parameter), `${name}-${at}`));
  const content = resolve(api, operation.requestBody).content?.["application/json"];
  const body = content && element("textarea", { id: `${name}-body`, spellcheck: "false" });
  if (body) {
    body.value = shown(content.example ?? {});
    body.rows = body.value.split("\n").length;
  }

  const output = element("div", { "aria-live": "polite" });
  const stop = element("button", { type: "button", hidden: true }, "Stop");
  const send = element("button", { class: "send" }, "Send");

  async function submit(event) {
    event.preventDefault();
    const asked = request(base, method, path, fields, body);
    const headers = secured && token.value() ? { ...asked.headers, Authorization: `Bearer ${token.value()}` } : asked.headers;
    const status = element("p", { class: "status" }, "Sending …");
    const head = element("pre", { hidden: true });
    const text = element("pre", { tabindex: "0", "aria-label": "body of the answer", hidden: true });
    output.replaceChildren(status, head, text);
    const abort = new AbortController();
    stop.onclick = () => abort.abort();
    send.disabled = true;
    stop.hidden = false;
    const begun = performance.now();
    try {
      const response = await fetch(asked.url, { ...asked, headers, signal: abort.signal, credentials: "omit", cache: "no-store" });
      status.textContent = `${response.status} ${response.statusText}`.trim();
      status.classList.add(response.ok ? "good" : "bad");
      head.textContent = [...response.headers].map(([key, value]) => `${key}: ${value}`).join("\n");
      head.hidden = text.hidden = false;
      const json = await read(response, text);
      text.hidden = text.textContent === "";
      status.textContent += ` — ${Math.round(performance.now() - begun)} ms`;
      if (json?.access_token) token.use(json.access_token, "This page uses the new token.");
    } catch (error) {
      const why = error.name === "AbortError" ? "Stopped." : `No answer: ${error.message}`;
      status.textContent = status.classList.contains("good") ? `${status.textContent} — ${why}` : why;
    } finally {
      send.disabled = false;
      stop.hidden = true;
    }
  }

  function copy() {
    const line = curl(request(base, method, path, fields, body), secured);
    output.replaceChildren(element("pre", { tabindex: "0", "aria-label": "the request for a shell" }, line));
  }

  return element("form", { class: "try", onsubmit: submit },
    element("h3", {}, "Try it"),
    secured && element("p", { class: "quiet" }, "Sends the access token of the field above."),
    fields.length > 0 && element("div", { class: "fields" }, fields.flatMap(({ label, input }) => [label, input])),
    body && [element("label", { for: body.id }, "Body"), body],
    element("div", { class: "buttons" }, send, stop, element("button", { type: "button", onclick: copy }, "As curl")),
    output);
}
