/**
 * The query language as far as the page must read it: which parts of the line are filters, which are
 * pictures. The server's language.py has the last word; what is unclear here is words there.
 *
 * @typedef {{sign: "+"|"-", text: string, weight: string, picture: string|null}} Term
 *   `picture`: "id:12" or "upload:abc", without its weight
 * @typedef {{terms: Term[], filters: Map<string, string>}} Query
 */

export const FILTERS = [
  "in",
  "after",
  "before",
  "camera",
  "near",
  "min-size",
  "format",
  "orientation",
];

// A filter, a sign, a quoted piece or anything up to the next blank.
const PIECE = new RegExp(
  `\\s*(?:(?<name>${FILTERS.join("|")}):(?:"(?<quoted>[^"]*)"(?=\\s|$)|(?<bare>[^\\s"]\\S*))` +
    `|(?<sign>[+-])(?=\\s|$)|(?<word>"[^"]*"(?=\\s|$)|[\\d.]+:"[^"]*"(?=\\s|$)|\\S+))`,
  "gy",
);
const PICTURE = /^((?:\d+\.?\d*|\.\d+):)?((?:id|upload):[\w-]+)$/;

/** @returns {Query} */
export function parse(line) {
  const query = { terms: [], filters: new Map() };
  let sign = null;
  let words = null;
  for (const { groups } of line.matchAll(PIECE)) {
    if (groups.name) {
      query.filters.set(groups.name, groups.quoted ?? groups.bare);
    } else if (groups.sign) {
      [sign, words] = [groups.sign, null];
    } else if (words) {
      words.text += ` ${groups.word}`;
      words.picture = null;
    } else {
      const [, weight = "", picture = null] = PICTURE.exec(groups.word) ?? [];
      words = { sign: sign ?? "+", text: groups.word, weight, picture };
      query.terms.push(words);
    }
  }
  return query;
}

/** The line that says this; filters come last. */
export function write({ terms, filters }) {
  const said = terms.map(({ sign, text }, i) => (i || sign === "-" ? `${sign} ${text}` : text));
  for (const [name, value] of filters)
    said.push(`${name}:${/[\s"]/.test(value) ? `"${value}"` : value}`);
  return said.join(" ");
}

/** The line with filters set, or left out where the value is null or empty. */
export function withFilters(line, values) {
  const query = parse(line);
  for (const [name, value] of Object.entries(values)) {
    if (value) query.filters.set(name, value.replaceAll('"', ""));
    else query.filters.delete(name);
  }
  return write(query);
}

/** The line with a picture among its terms, once; sign null takes it out. */
export function withPicture(line, picture, sign) {
  const query = parse(line);
  query.terms = query.terms.filter((term) => term.picture !== picture);
  if (sign) query.terms.push({ sign, text: picture, weight: "", picture });
  return write(query);
}

/** The sign that a picture has in the line, or null. */
export function signOf(line, picture) {
  return parse(line).terms.find((term) => term.picture === picture)?.sign ?? null;
}

/** A line that looks for one picture alone, with the filters of another line. */
export const onlyPicture = (line, picture) =>
  write({
    terms: [{ sign: "+", text: picture, weight: "", picture }],
    filters: parse(line).filters,
  });

/** What is said of the terms, as in “nothing looks like …”. */
export const withoutFilters = (line) => write({ terms: parse(line).terms, filters: new Map() });
