// Parallel coordinates: an axis a parameter and objective, a line a point. More lines than LINES are thinned out evenly.

const LINES = 2500;
const parallel = { box: byId("parallel"), axes: [...parameters, ...objectives] };
const TOP = 46, BOTTOM = 14, LEFT = 122, RIGHT = 62, APART = 12;

function drawParallel() {
  const { pen, ink, width, height } = layers(parallel.box);
  const { axes } = parallel;
  const every = (width - LEFT - RIGHT) / Math.max(1, axes.length - 1);
  const doneRows = [...Array(count).keys()].filter((row) => done[row]);
  axes.forEach((one, i) => {
    one.across = axes.length > 1 ? LEFT + i * every : width / 2;
    one.up = one.levels ? levelScale(one, height - BOTTOM, TOP) : scaleOf(one.numbers, doneRows, height - BOTTOM, TOP, wide(one, doneRows));
  });
  const shown = doneRows.filter((row) => state.picked[row]);
  const thin = (rows) => (rows.length > LINES ? rows.filter((_, i) => i % Math.ceil(rows.length / LINES) === 0) : rows);
  const [accent, faint, front] = ["accent", "faint", "front"].map(paint);
  if (shown.length < doneRows.length) drawLines(pen, thin(doneRows.filter((row) => !state.picked[row])), faint, 0.5, 1);
  drawLines(pen, thin(shown), accent, Math.min(0.7, Math.max(0.03, 40 / Math.min(shown.length, LINES))), 1);
  drawLines(pen, data.front.filter((row) => state.picked[row]), front, 0.8, 1.4);
  parallel.line = ink.appendChild(svg("path", { class: "chosen" }));
  markChosen();
  axes.forEach((one, i) => drawAxis(ink, one, i, axes.length, every));
  byId("thinned").textContent = shown.length > LINES ? ` Of the ${shown.length.toLocaleString("en-US")} lines, one in ${Math.ceil(shown.length / LINES)} is drawn, and all of the front.` : "";
}

/** Draw the line of the chosen point, over all others. */
function markChosen() {
  const axes = state.chosen < 0 ? [] : parallel.axes.filter((one) => !Number.isNaN(one.numbers[state.chosen]));
  const places = axes.map((one) => [one.across, one.up(one.numbers[state.chosen]) + (one.levels ? apart(state.chosen) : 0)]);
  parallel.line.setAttribute("d", places.length ? `M${places.map((place) => place.join(",")).join("L")}` : "");
}

const wide = (one, rows) => {
  const ends = scaleOf(one.numbers, rows, 0, 1, false).ends;
  const least = rows.reduce((low, row) => Math.min(low, one.numbers[row]), Infinity);
  return least > 0 && ends[1] / least > 20;
};

/** Place levels at equal distances; what is brushed and compared are the numbers all the same. */
function levelScale(one, from, to) {
  const last = Math.max(1, one.levels.length - 1);
  const places = one.numeric ? one.levels : one.levels.map((_, code) => code);
  const scale = (value) => from + (places.indexOf(value) / last) * (to - from);
  scale.invert = (pixel) => {
    const at = Math.max(0, Math.min(last, ((pixel - from) / (to - from)) * last));
    const low = Math.min(Math.floor(at), places.length - 1), high = Math.min(low + 1, places.length - 1);
    return places[low] + (at - low) * (places[high] - places[low]);
  };
  return scale;
}

/** Return by how much a line leaves the middle of a level, so that many lines do not look like one. */
const apart = (row) => (((row * 0.618034) % 1) - 0.5) * APART;

function drawLines(pen, rows, colour, alpha, width) {
  pen.strokeStyle = colour;
  pen.globalAlpha = alpha;
  pen.lineWidth = width;
  for (const row of rows) {
    let drawing = false;
    pen.beginPath();
    for (const one of parallel.axes) {
      const value = one.numbers[row];
      if (Number.isNaN(value)) {
        drawing = false;
        continue;
      }
      const place = one.up(value) + (one.levels ? apart(row) : 0);
      if (drawing) pen.lineTo(one.across, place);
      else pen.moveTo(one.across, place);
      drawing = true;
    }
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

function drawAxis(ink, one, i, of, every) {
  const { height } = parallel.box.getBoundingClientRect();
  const last = i === of - 1;
  ink.append(svg("line", { class: "axis", x1: one.across, x2: one.across, y1: TOP, y2: height - BOTTOM }));
  const words = fit(one.title, Math.max(8, Math.floor((every - 8) / 6.6)));
  words.forEach((word, line) => ink.append(svg("text", { class: "name", x: one.across, y: TOP - 12 - 14 * (words.length - 1 - line), "text-anchor": "middle" }, word)));
  const marks = one.levels ? thinned(one.levels) : ticks(one.up, one, wide(one, state.rows), 6).map((value) => [value, tickText(one, value)]);
  for (const [value, text] of marks) {
    const place = one.up(one.levels && !one.numeric ? one.levels.indexOf(value) : value);
    const attributes = last ? { x: one.across + 7, "text-anchor": "start" } : { x: one.across - 7, "text-anchor": "end" };
    ink.append(svg("line", { class: "axis", x1: one.across - 3, x2: one.across + 3, y1: place, y2: place }));
    ink.append(svg("text", { ...attributes, y: place + 4, class: "halo" }, text.length > 17 ? `${text.slice(0, 8)}…${text.slice(-8)}` : text));
  }
  const range = state.ranges.get(one);
  if (range) {
    const [low, high] = range.map((value) => brushPlace(one, value));
    ink.append(svg("rect", { class: "brush", x: one.across - 8, width: 16, y: Math.min(low, high), height: Math.abs(high - low) }));
  }
  const grip = ink.appendChild(svg("rect", { class: "grip", x: one.across - 10, width: 20, y: TOP - 4, height: height - TOP - BOTTOM + 8, "data-axis": one.name }));
  listenAxis(grip, one);
}

/** Return where a number between two levels lies. */
function brushPlace(one, value) {
  if (!one.levels) return one.up(value);
  const places = one.numeric ? one.levels : one.levels.map((_, code) => code);
  const high = Math.max(1, places.findIndex((place) => place >= value));
  const [a, b] = [places[high - 1], places[high] ?? places[high - 1]];
  return one.up(a) + (b > a ? ((value - a) / (b - a)) * (one.up(b) - one.up(a)) : 0);
}

function thinned(levels) {
  const every = Math.ceil(levels.length / 12);
  return levels.filter((_, i) => i % every === 0).map((level) => [level, typeof level === "number" ? plain(level) : level]);
}

/** Break a name at its dots and underscores into lines of some letters, three at most. */
function fit(name, letters) {
  const lines = [""];
  for (const part of name.split(/(?<=[._ ])/)) {
    if (lines.at(-1) && (lines.at(-1) + part).length > letters && lines.length < 3) lines.push("");
    lines[lines.length - 1] += part;
  }
  return lines.map((line) => (line.length > letters + 4 ? `${line.slice(0, letters + 3)}…` : line));
}

/** Return the ends of a brush; one that touches the lines around a level has the level. */
const reach = (a, b, one) => [Math.min(a, b) - (one.levels ? APART / 2 : 0), Math.max(a, b) + (one.levels ? APART / 2 : 0)];

function listenAxis(grip, one) {
  let start = null;
  const place = (event) => event.clientY - parallel.box.getBoundingClientRect().top;
  grip.addEventListener("pointerdown", (event) => ((start = place(event)), grip.setPointerCapture(event.pointerId)));
  grip.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const end = place(event);
    if (Math.abs(end - start) < 4) state.ranges.delete(one);
    else state.ranges.set(one, reach(start, end, one).map(one.up.invert).sort((a, b) => a - b));
    start = null;
    pick();
  });
}
