// State: which points are shown, and which one is chosen. Views listen, and draw what is so.

const state = { picked: new Uint8Array(count), rows: [], chosen: -1, rectangle: null, ranges: new Map() };
const listeners = { picked: [], chosen: [] };
const tell = (event) => listeners[event].forEach((listener) => listener());

/** Show the points that pass the filter, have the status, and lie in what is brushed in both plots. */
function pick() {
  const { tests, problem } = parseFilter(byId("filter").value);
  byId("filter").setAttribute("aria-invalid", String(problem !== ""));
  const status = byId("status").value;
  if (status !== "all") tests.push(equals(column.get("status"), status));
  const brushed = [...state.ranges.entries(), ...(state.rectangle ?? [])];
  for (const [one, [low, high]] of brushed) tests.push((row) => one.numbers[row] >= low && one.numbers[row] <= high);
  state.rows = [];
  for (let row = 0; row < count; row++) {
    state.picked[row] = tests.every((test) => test(row)) ? 1 : 0;
    if (state.picked[row]) state.rows.push(row);
  }
  byId("shown").value = problem || `${state.rows.length.toLocaleString("en-US")} of ${count.toLocaleString("en-US")} shown`;
  byId("clear").hidden = !(byId("filter").value || brushed.length);
  tell("picked");
}

function choose(row) {
  state.chosen = row;
  tell("chosen");
}

function clearAll() {
  byId("filter").value = "";
  state.rectangle = null;
  state.ranges.clear();
  pick();
}

/** Read words that all must hold: text that some cell has, or COLUMN < <= = != >= > VALUE in the units of the store. */
function parseFilter(text) {
  const tests = [];
  for (const word of text.trim().split(/\s+/).filter(Boolean)) {
    const [, name, sign, value] = word.match(/^([^<>=!]+)(<=|>=|!=|=|<|>)(.+)$/) ?? [];
    if (!name) {
      tests.push(contains(word.toLowerCase()));
      continue;
    }
    const found = column.get(name) ?? columns.find((one) => one.name.endsWith(`.${name}`));
    if (!found) return { tests: [], problem: `no column ${name}` };
    if ("!=".includes(sign[0]) && !found.numeric) {
      const same = equals(found, value);
      tests.push(sign === "=" ? same : (row) => !same(row));
      continue;
    }
    const number = Number(value);
    if (!found.numeric || Number.isNaN(number)) return { tests: [], problem: `${name} ${sign} needs a number` };
    tests.push((row) => compare(found.numbers[row], sign, number));
  }
  return { tests, problem: "" };
}

function compare(a, sign, b) {
  if (sign === "<") return a < b;
  if (sign === "<=") return a <= b;
  if (sign === ">") return a > b;
  if (sign === ">=") return a >= b;
  return sign === "=" ? a === b : a !== b;
}

function equals(one, text) {
  const code = one.levels.indexOf(text);
  return (row) => one.values[row] === code;
}

function contains(word) {
  const hits = columns.filter((one) => one.levels).map((one) => [one.values, one.levels.map((level) => String(level).toLowerCase().includes(word))]);
  const numbers = column.get("number").numbers;
  return (row) => String(numbers[row]) === word || hits.some(([codes, hit]) => hit[codes[row]]);
}
