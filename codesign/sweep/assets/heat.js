// Heat map: the best or the median of a measure for each pair of levels of two parameters, over the points shown.

const heat = { box: byId("heat"), cells: new Map() };
const HEAT = { left: 96, right: 96, top: 30, bottom: 42 };

function drawHeat() {
  const [x, y, z] = ["heat-x", "heat-y", "heat-z"].map((id) => column.get(byId(id).value));
  const tall = Math.min(30, Math.max(15, 420 / y.levels.length));
  heat.box.style.height = `${y.levels.length * tall + HEAT.top + HEAT.bottom}px`;
  const { pen, ink, width, height } = layers(heat.box);
  heat.cells = cellsOf(x, y, z, byId("heat-how").value);
  const values = [...heat.cells.values()].map((one) => one.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const bend = low > 0 && high / low > 20 ? Math.log : (value) => value;
  const share = (value) => (high > low ? (bend(value) - bend(low)) / (bend(high) - bend(low)) : 0.5);
  const wide = (width - HEAT.left - HEAT.right) / x.levels.length;
  heat.at = { x, y, z, wide, tall };
  for (const [place, { value }] of heat.cells) {
    const [i, j] = split(place, x);
    const [left, top] = [HEAT.left + i * wide, height - HEAT.bottom - (j + 1) * tall];
    pen.fillStyle = ramp(share(value));
    pen.fillRect(left + 0.5, top + 0.5, wide - 1, tall - 1);
    const text = write(z, value);
    pen.font = "12px system-ui, sans-serif";
    if (pen.measureText(text).width > wide - 6) continue;
    pen.fillStyle = dark(share(value)) ? "#ffffff" : "#000000";
    pen.textAlign = "center";
    pen.fillText(text, left + wide / 2, top + tall / 2 + 4);
  }
  const label = (level) => (typeof level === "number" ? plain(level) : level.length > 13 ? `${level.slice(0, 12)}…` : level);
  const every = Math.ceil(56 / wide);
  x.levels.forEach((level, i) => i % every || ink.append(svg("text", { x: HEAT.left + (i + 0.5) * wide, y: height - HEAT.bottom + 16, "text-anchor": "middle" }, label(level))));
  y.levels.forEach((level, j) => ink.append(svg("text", { x: HEAT.left - 7, y: height - HEAT.bottom - (j + 0.5) * tall + 4, "text-anchor": "end" }, label(level))));
  ink.append(svg("text", { class: "name", x: (HEAT.left + width - HEAT.right) / 2, y: height - 6, "text-anchor": "middle" }, x.name));
  ink.append(svg("text", { class: "name", x: 0, y: 20 }, `${y.name} ↑`));
  if (values.length) drawKey(pen, ink, z, low, high, width, height);
}

/** Return a cell for each pair of levels that some point shown has: its value, the point that has it, how many points. */
function cellsOf(x, y, z, how) {
  const found = new Map();
  for (const row of state.rows) {
    if (!done[row] || x.values[row] < 0 || y.values[row] < 0 || Number.isNaN(z.numbers[row])) continue;
    const place = y.values[row] * x.levels.length + x.values[row];
    if (!found.has(place)) found.set(place, []);
    found.get(place).push(row);
  }
  const sign = z.maximise ? -1 : 1;
  for (const [place, rows] of found) {
    rows.sort((a, b) => sign * (z.numbers[a] - z.numbers[b]));
    const half = (rows.length - 1) / 2;
    const median = (z.numbers[rows[Math.floor(half)]] + z.numbers[rows[Math.ceil(half)]]) / 2;
    found.set(place, { row: rows[0], value: how === "best" ? z.numbers[rows[0]] : median, size: rows.length });
  }
  return found;
}

const split = (place, x) => [place % x.levels.length, Math.floor(place / x.levels.length)];
const dark = (share) => (ramp(share).match(/\d+/g) ?? []).reduce((sum, part, i) => sum + part * [0.3, 0.59, 0.11][i], 0) < 130;

function drawKey(pen, ink, z, low, high, width, height) {
  const [left, top, tall] = [width - HEAT.right + 14, HEAT.top, Math.min(height - HEAT.bottom - HEAT.top, 160)];
  if (tall < 20) return;
  for (let i = 0; i < tall; i++) {
    pen.fillStyle = ramp(1 - i / tall);
    pen.fillRect(left, top + i, 12, 1.5);
  }
  ink.append(svg("text", { x: left, y: top - 7 }, z.shownUnit ?? z.name));
  ink.append(svg("text", { x: left + 17, y: top + 9 }, write(z, high)));
  ink.append(svg("text", { x: left + 17, y: top + tall }, write(z, low)));
}

function cellAt(event) {
  const { x, wide, tall } = heat.at;
  const { left, bottom } = heat.box.getBoundingClientRect();
  const [i, j] = [Math.floor((event.clientX - left - HEAT.left) / wide), Math.floor((bottom - HEAT.bottom - event.clientY) / tall)];
  return i < 0 || j < 0 || i >= x.levels.length ? undefined : heat.cells.get(j * x.levels.length + i);
}

function listenHeat() {
  heat.box.addEventListener("pointermove", (event) => {
    const found = cellAt(event);
    const { z } = heat.at;
    tip(found ? `${byId("heat-how").value} of ${found.size} points: ${write(z, found.value)} ${z.shownUnit ?? z.name}\nclick for the best of them\n\n${told(found.row)}` : "", event);
  });
  heat.box.addEventListener("pointerleave", () => tip(""));
  heat.box.addEventListener("click", (event) => {
    const found = cellAt(event);
    if (found) choose(found.row);
  });
}
