// The little of Markdown that the description uses: paragraphs, headings, tables, `code`.
import { element, table } from "./element.js";

function inline(text) {
  return text.split(/(`[^`]+`)/).map((part) => (/^`.+`$/.test(part) ? element("code", {}, part.slice(1, -1)) : part));
}

function cells(row) {
  return row.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

/** Elements for a description. Headings begin at `level`. */
export function words(text = "", level = 3) {
  return text.trim().split(/\n\s*\n/).filter(Boolean).map((block) => {
    const heading = block.match(/^(#+) (.*)$/);
    if (heading) return element(`h${level}`, {}, inline(heading[2]));
    const rows = block.split("\n");
    if (rows.length > 2 && rows[0].startsWith("|")) {
      const body = rows.slice(2).map((row) => element("tr", {}, cells(row).map((cell) => element("td", {}, inline(cell)))));
      const whole = table(cells(rows[0]), body);
      // A long table is there for who looks for it, and in nobody's way.
      return body.length < 12 ? whole : element("details", {}, element("summary", {}, `All ${body.length} of them`), whole);
    }
    return element("p", {}, inline(block.replaceAll("\n", " ")));
  });
}

/** A description of one line, within other text. */
export { inline };
