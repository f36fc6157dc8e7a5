// What a schema says, as rows of a table.
import { element, table } from "./element.js";
import { inline } from "./words.js";

/** Follows a reference within the description. */
export function resolve(api, node) {
  if (!node?.$ref) return node ?? {};
  const path = node.$ref.replace(/^#\//, "").split("/");
  const target = path.reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], api);
  const { $ref: _, ...beside } = node;
  return { ...resolve(api, target), ...beside };
}

/** The parts of a schema put together: members of `allOf`, and what is not null of `oneOf`. */
function flat(api, node) {
  const schema = resolve(api, node);
  if (schema.allOf) {
    const parts = schema.allOf.map((part) => flat(api, part));
    const properties = Object.assign({}, ...parts.map((part) => part.properties));
    return { ...schema, type: "object", properties, required: parts.flatMap((part) => part.required ?? []) };
  }
  const choices = schema.oneOf?.filter((choice) => choice.type !== "null");
  if (choices?.length === 1) return { ...flat(api, choices[0]), nullable: true, description: schema.description ?? choices[0].description };
  return schema;
}

function type(api, schema) {
  const types = [schema.type ?? "any"].flat().filter((name) => name !== "null");
  const of = types.includes("array") ? ` of ${type(api, flat(api, schema.items))}` : "";
  const orNull = schema.nullable || (Array.isArray(schema.type) && schema.type.includes("null"));
  return types.join(" or ") + of + (schema.format ? ` (${schema.format})` : "") + (orNull ? " or null" : "");
}

/** The bounds of a value, in words. */
function rules(schema) {
  const said = [];
  if (schema.enum) said.push(`one of ${schema.enum.join(", ")}`);
  if (schema.minLength !== undefined) said.push(`at least ${schema.minLength} characters`);
  if (schema.maxLength !== undefined) said.push(`at most ${schema.maxLength} characters`);
  if (schema.minimum !== undefined) said.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) said.push(`to ${schema.maximum}`);
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.pattern) said.push(`pattern ${schema.pattern}`);
  return said.join(" · ");
}

function row(api, name, schema, required, description, nested) {
  return element("tr", { class: nested && "nested" },
    element("td", {}, element("code", { class: required && "required", title: required ? "required" : "optional" }, name)),
    element("td", {}, type(api, schema)),
    element("td", {}, inline(description ?? ""), element("span", { class: "rules" }, rules(schema))));
}

function rows(api, schema, prefix, depth) {
  return Object.entries(schema.properties ?? {}).flatMap(([name, node]) => {
    const member = flat(api, node);
    const item = flat(api, member.contentSchema ?? (member.type === "array" ? member.items : member));
    const below = item.properties && depth < 3 ? rows(api, item, `${prefix}${name}${member.type === "array" ? "[]" : ""}.`, depth + 1) : [];
    return [row(api, prefix + name, member, schema.required?.includes(name), node.description ?? member.description, depth > 0), ...below];
  });
}

/** A table of the members of a body; nothing where there are none. */
export function members(api, node) {
  let schema = flat(api, node);
  const list = schema.type === "array";
  if (list) schema = flat(api, schema.items);
  const found = rows(api, schema, "", 0);
  if (found.length === 0) return undefined;
  return [list && element("p", { class: "quiet" }, "A list, of:"), table(["member", "type", ""], found)];
}

/** A table of the parameters of an operation. */
export function parameters(api, all) {
  const found = all.map((one) => row(api, `${one.name}`, flat(api, one.schema), one.required, `${one.description ?? ""} (${one.in})`));
  return table(["parameter", "type", ""], found);
}
