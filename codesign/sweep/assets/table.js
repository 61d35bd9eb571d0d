// Table: all points shown, sorted by a column. Only the rows in sight are in the document.

const table = { box: byId("table"), by: column.get("front"), down: false, rows: [] };
const ROW = 26, HEAD = 31, WIDEST = 320;

function makeTable() {
  const widths = columns.map(measuring());
  const heads = columns.map((one) => {
    const button = el("button", { type: "button", title: `Sort by ${one.name}` }, one.title);
    button.addEventListener("click", () => sortBy(one));
    return (one.head = el("th", { scope: "col", className: one.numeric ? "number" : "" }, button));
  });
  table.before = el("tbody", { ariaHidden: "true" });
  table.body = el("tbody");
  table.after = el("tbody", { ariaHidden: "true" });
  const made = el("table", {}, el("colgroup", {}, ...widths.map((width) => el("col", { style: `width:${width}px` }))), el("thead", {}, el("tr", {}, ...heads)), table.before, table.body, table.after);
  made.style.width = `${widths.reduce((sum, width) => sum + width, 0)}px`;
  table.box.append(made);
  table.element = made;
  table.box.addEventListener("scroll", fillTable);
  table.body.addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (line) choose(Number(line.dataset.row));
  });
  table.box.addEventListener("keydown", walkTable);
}

/** Return a function that gives the width that fits the head and the longest of some cells of a column. */
function measuring() {
  const pen = el("canvas").getContext("2d");
  const { fontFamily, fontSize } = getComputedStyle(table.box);
  const wide = (text, weight) => {
    pen.font = `${weight} ${fontSize} ${fontFamily}`;
    return pen.measureText(text).width;
  };
  return (one) => {
    const rows = one.levels ? [] : Array.from({ length: Math.min(count, 500) }, (_, i) => Math.floor((i * count) / Math.min(count, 500)));
    const texts = one.levels ? one.levels.slice(0, 500).map((level) => (one.numeric ? plain(level) : level)) : rows.map((row) => cell(one, row));
    const longest = texts.reduce((most, text) => Math.max(most, wide(text, 400)), 0);
    return Math.ceil(Math.max(Math.min(longest, WIDEST), wide(`${one.title} ▲`, 600))) + 26;
  };
}

function sortBy(one) {
  table.down = table.by === one ? !table.down : one.maximise === true;
  table.by = one;
  sortTable();
}

/** Sort the rows shown; those without a value come last either way, and equal ones in the order of their numbers. */
function sortTable() {
  const { numbers } = table.by;
  const sign = table.down ? -1 : 1;
  table.rows = [...state.rows].sort((a, b) => {
    const [x, y] = [numbers[a], numbers[b]];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
    return sign * (x - y) || a - b;
  });
  for (const one of columns) {
    const sorted = one === table.by ? (table.down ? "descending" : "ascending") : "none";
    one.head.ariaSort = sorted;
    one.head.firstChild.textContent = one.title + { none: "", ascending: " ▲", descending: " ▼" }[sorted];
  }
  table.element.ariaRowCount = String(table.rows.length + 1);
  table.box.scrollTop = 0;
  fillTable();
}

function fillTable() {
  const first = Math.max(0, Math.floor(table.box.scrollTop / ROW) - 5);
  const last = Math.min(table.rows.length, first + Math.ceil(table.box.clientHeight / ROW) + 10);
  const space = (height) => el("tr", { style: `height:${height}px` });
  table.before.replaceChildren(space(first * ROW));
  table.after.replaceChildren(space((table.rows.length - last) * ROW));
  table.body.replaceChildren(...table.rows.slice(first, last).map((row, i) => {
    const cells = columns.map((one) => {
      const text = cell(one, row);
      return el("td", { className: one.name === "front" ? "number front" : one.numeric ? "number" : "", textContent: text, title: text.length > 20 ? text : "" });
    });
    return el("tr", { "data-row": row, ariaSelected: String(row === state.chosen), ariaRowIndex: String(first + i + 2) }, ...cells);
  }));
}

/** Bring the chosen row into sight. */
function showChosen() {
  const at = table.rows.indexOf(state.chosen);
  const { scrollTop, clientHeight } = table.box;
  if (at >= 0 && (at * ROW < scrollTop || (at + 1) * ROW + HEAD > scrollTop + clientHeight)) table.box.scrollTop = Math.max(0, at * ROW - clientHeight / 3);
  fillTable();
}

function walkTable(event) {
  const page = Math.floor(table.box.clientHeight / ROW) - 2;
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
  if (!step || !table.rows.length) return;
  event.preventDefault();
  const now = table.rows.indexOf(state.chosen);
  choose(table.rows[Math.max(0, Math.min(table.rows.length - 1, now + step))]);
}
