// Scatter: two measures of all points, the front of those shown, and a rectangle that picks points.

const scatter = { box: byId("scatter"), at: null };
const MARGIN = { left: 62, right: 14, top: 10, bottom: 40 };

function drawScatter() {
  const { pen, ink, width, height } = layers(scatter.box);
  const [x, y] = ["x", "y"].map((id) => column.get(byId(id).value));
  const [xLog, yLog] = ["x-log", "y-log"].map((id) => byId(id).checked);
  const all = [];
  for (let row = 0; row < count; row++) {
    if (done[row] && ok(x, xLog, row) && ok(y, yLog, row)) all.push(row);
  }
  const across = scaleOf(x.numbers, all, MARGIN.left, width - MARGIN.right, xLog);
  const up = scaleOf(y.numbers, all, height - MARGIN.bottom, MARGIN.top, yLog);
  const at = all.map((row) => [across(x.numbers[row]), up(y.numbers[row])]);
  scatter.at = { x, y, across, up, all, at };
  drawAxes(ink, x, y, across, up, xLog, yLog, width, height);

  const colour = column.get(byId("colour").value);
  const colours = colour ? levelColours(colour) : null;
  const [accent, faint, front] = ["accent", "faint", "front"].map(paint);
  const size = all.length > 3000 ? 2 : 3;
  const draw = (wanted, fill, radius, alpha) => {
    pen.globalAlpha = alpha;
    for (let i = 0; i < all.length; i++) {
      if (!wanted(all[i])) continue;
      pen.fillStyle = typeof fill === "string" ? fill : fill(all[i]);
      pen.beginPath();
      pen.arc(at[i][0], at[i][1], radius, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
  };
  draw((row) => !state.picked[row], faint, size, 1);
  draw((row) => state.picked[row], colours ? (row) => colours[colour.values[row]] ?? faint : accent, size, all.length > 3000 ? 0.5 : 0.75);
  if (colours) outlineFront(pen, all, at, paint("mark"));
  else draw((row) => rankOnFront.has(row) && state.picked[row], front, 4.5, 1);
  ink.append(svg("path", { class: "stairs", d: stairs(x, y, across, up) }));
  if (state.rectangle) drawRectangle(ink);
  scatter.ring = ink.appendChild(svg("circle", { class: "ring", r: 7, visibility: "hidden" }));
  ringChosen();
  drawLegend(colour, colours);
}

const ok = (one, log, row) => (log ? one.numbers[row] > 0 : !Number.isNaN(one.numbers[row]));

function outlineFront(pen, all, at, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  all.forEach((row, i) => {
    if (!rankOnFront.has(row) || !state.picked[row]) return;
    pen.beginPath();
    pen.arc(at[i][0], at[i][1], 4.5, 0, 7);
    pen.stroke();
  });
}

function drawAxes(ink, x, y, across, up, xLog, yLog, width, height) {
  const [bottom, left, right] = [height - MARGIN.bottom, MARGIN.left, width - MARGIN.right];
  for (const value of ticks(across, x, xLog, width / 95)) {
    ink.append(svg("line", { class: "grid", x1: across(value), x2: across(value), y1: MARGIN.top, y2: bottom }));
    ink.append(svg("text", { x: across(value), y: bottom + 16, "text-anchor": "middle" }, tickText(x, value)));
  }
  for (const value of ticks(up, y, yLog, height / 55)) {
    ink.append(svg("line", { class: "grid", x1: left, x2: right, y1: up(value), y2: up(value) }));
    ink.append(svg("text", { x: left - 7, y: up(value) + 4, "text-anchor": "end" }, tickText(y, value)));
  }
  ink.append(svg("text", { class: "name", x: (left + right) / 2, y: height - 5, "text-anchor": "middle" }, x.title + better(x)));
  ink.append(svg("text", { class: "name", transform: `translate(13 ${(MARGIN.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.title + better(y)));
}

const better = (one) => (one.maximise ? ", more is better" : ", less is better");

/** Return the path along the front of the points shown, in the two measures of the axes. */
function stairs(x, y, across, up) {
  const sign = [x, y].map((one) => (one.maximise ? -1 : 1));
  const rows = scatter.at.all.filter((row) => state.picked[row]);
  rows.sort((a, b) => sign[0] * (x.numbers[a] - x.numbers[b]) || sign[1] * (y.numbers[a] - y.numbers[b]));
  let best = Infinity;
  scatter.front = rows.filter((row) => sign[1] * y.numbers[row] < best && ((best = sign[1] * y.numbers[row]), true));
  return scatter.front.map((row, i) => {
    const [to, then] = [across(x.numbers[row]).toFixed(1), up(y.numbers[row]).toFixed(1)];
    return i ? `H${to}V${then}` : `M${to},${then}`;
  }).join("");
}

function ringChosen() {
  const i = scatter.at.all.indexOf(state.chosen);
  if (i < 0) return scatter.ring.setAttribute("visibility", "hidden");
  scatter.ring.setAttribute("visibility", "visible");
  scatter.ring.setAttribute("cx", scatter.at.at[i][0]);
  scatter.ring.setAttribute("cy", scatter.at.at[i][1]);
}

function drawLegend(colour, colours) {
  const one = (fill, text) => el("span", {}, el("span", { className: "swatch", style: `background:${fill}` }), text);
  const every = colours ? Math.ceil(colours.length / 10) : 1;
  const levels = colours ? colour.levels.map((level, i) => (i % every ? null : one(colours[i], colour.numeric ? plain(level) : level))).filter(Boolean) : [];
  byId("scatter-legend").replaceChildren(...levels, one(paint(colours ? "mark" : "front"), `front of ${data.study.objectives.join(", ")}`), "line: front of the points shown, in these two");
}

function drawRectangle(ink) {
  const { x, y, across, up } = scatter.at;
  const [[xOne, [left, right]], [yOne, [low, high]]] = state.rectangle;
  if (xOne !== x || yOne !== y) return;
  const [a, b, c, d] = [across(left), across(right), up(high), up(low)];
  ink.append(svg("rect", { class: "brush", x: a, width: Math.max(0, b - a), y: c, height: Math.max(0, d - c) }));
}

/** Return the row of the point nearest to the pointer, or -1 if none is near. */
function nearest(px, py) {
  let found = -1, best = 14 ** 2;
  scatter.at.at.forEach(([a, b], i) => {
    const row = scatter.at.all[i];
    const far = (a - px) ** 2 + (b - py) ** 2 + (state.picked[row] ? 0 : 60);
    if (far < best) [best, found] = [far, row];
  });
  return found;
}

function listenScatter() {
  const { box } = scatter;
  let start = null, band = null;
  const place = (event) => {
    const { left, top } = box.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  box.addEventListener("pointerdown", (event) => {
    start = place(event);
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    const [px, py] = place(event);
    if (start && Math.hypot(px - start[0], py - start[1]) > 4) {
      band ??= box._svg.appendChild(svg("rect", { class: "brush" }));
      for (const [name, value] of [["x", Math.min(px, start[0])], ["y", Math.min(py, start[1])], ["width", Math.abs(px - start[0])], ["height", Math.abs(py - start[1])]]) band.setAttribute(name, value);
      return tip("");
    }
    const row = nearest(px, py);
    tip(row < 0 ? "" : told(row), event);
  });
  box.addEventListener("pointerleave", () => tip(""));
  box.addEventListener("pointercancel", () => ((start = band = null), drawScatter()));
  box.addEventListener("pointerup", (event) => {
    const [px, py] = place(event);
    if (band) {
      const { x, y, across, up } = scatter.at;
      const sorted = (a, b) => [Math.min(a, b), Math.max(a, b)];
      state.rectangle = [[x, sorted(across.invert(px), across.invert(start[0]))], [y, sorted(up.invert(py), up.invert(start[1]))]];
      pick();
    } else if (start) {
      const row = nearest(px, py);
      if (row >= 0) choose(row);
      else if (state.rectangle) ((state.rectangle = null), pick());
    }
    start = band = null;
  });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !scatter.front.length) return;
    event.preventDefault();
    const now = scatter.front.indexOf(state.chosen);
    choose(scatter.front[now < 0 ? 0 : Math.max(0, Math.min(scatter.front.length - 1, now + step))]);
  });
}
