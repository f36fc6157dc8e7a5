// The one way in which this page makes elements: text is always text, never markup.

/** An element `name`, with `attributes` (`class`, `id`, `onclick` …) and children: elements, texts, or nothing. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return made;
}

/** A table that scrolls by itself where the screen is narrow. */
export function table(heads, rows) {
  return element("div", { class: "scroll" }, element("table", {},
    element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, rows)));
}

/** A value as it would stand in a file. */
export function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
