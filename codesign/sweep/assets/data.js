// Data: the columns of the sweep, and how their values are written.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const columns = data.columns.map(prepare);
for (const one of columns) one.title ??= shortest(one.name);
const column = new Map(columns.map((one) => [one.name, one]));
const count = data.count;
const done = column.get("status").values.map((code) => column.get("status").levels[code] === "done");
const rankOnFront = new Map(data.front.map((row, rank) => [row, rank + 1]));
const parameters = columns.filter((one) => one.role === "parameter" && one.levels.length > 1);
const measures = columns.filter((one) => one.role === "objective" || one.role === "measure");
const objectives = columns.filter((one) => one.role === "objective");

/** Make an element; text is never read as HTML. */
function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Make an element of a drawing. */
function svg(tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

/** Give a column its numbers: those of a parameter are `levels`, in order, and a code a row; -1 or null is no value. */
function prepare(one) {
  const numeric = one.levels ? one.levels.every((level) => typeof level === "number") : true;
  const numbers = one.levels
    ? Float64Array.from(one.values, (code) => (code < 0 ? NaN : numeric ? one.levels[code] : code))
    : Float64Array.from(one.values, (value) => (value === null ? NaN : value));
  return { ...one, ...display(one, numbers), numeric, numbers };
}

/** Return the end of a dotted name from which on no other column has it. */
function shortest(name) {
  const parts = name.split(".");
  for (let from = parts.length - 1; from > 0; from--) {
    const end = parts.slice(from).join(".");
    if (columns.filter((one) => one.name === end || one.name.endsWith(`.${end}`)).length === 1) return end;
  }
  return name;
}

/** Choose the unit of a column, one for all its rows: that of its median. */
function display(one, numbers) {
  const sorted = Float64Array.from(numbers.filter((value) => !Number.isNaN(value)).map(Math.abs)).sort();
  const middle = sorted[sorted.length >> 1] || 0;
  const prefixes = { "s": [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]], "B": [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]],
    "pJ": [[1e12, "J"], [1e9, "mJ"], [1e6, "µJ"], [1e3, "nJ"], [1, "pJ"]], "%": [[0.01, "%"]] }[one.unit];
  if (!prefixes) return { scale: 1 };
  const [scale, unit] = prefixes.find(([size]) => middle >= size) ?? prefixes.at(-1);
  return { scale, shownUnit: unit, title: `${one.name.replace(/_(pj|s|bytes)$/, "")} (${unit})` };
}

/** Write a number of a column in its unit. */
function write(one, value) {
  if (value === null || Number.isNaN(value)) return "";
  if (one.unit === "") return Number.isInteger(value) ? value.toLocaleString("en-US") : significant(value);
  return one.unit ? significant(value / one.scale) : plain(value);
}

const significant = (value) => Number(value.toPrecision(4)).toLocaleString("en-US", { maximumSignificantDigits: 4 });

/** Write a setting as one would type it. */
function plain(value) {
  const [text, short] = [String(value), value.toExponential().replace("e+", "e")];
  return text.length > 7 && short.length < text.length ? short : text;
}

/** Write the cell of a row. */
function cell(one, row) {
  if (!one.levels) return write(one, one.numbers[row]);
  const code = one.values[row];
  return code < 0 ? "" : one.numeric ? plain(one.levels[code]) : one.levels[code];
}

/** Write a cell with its unit. */
const cellUnit = (one, row) => `${cell(one, row)}${one.shownUnit ? " " + one.shownUnit : ""}`;
