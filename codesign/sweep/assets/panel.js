// Panel: one point: its parameters, what its layers take, its timeline, and the command that simulates it again.

const TABS = { layers: ["Layers", layersOf], timeline: ["Timeline", timelineOf], parameters: ["All values", valuesOf] };
let tab = "layers";
let layerData = null;

function makeTabs() {
  const list = document.querySelector('[role="tablist"]');
  for (const [name, [title]] of Object.entries(TABS)) {
    const button = el("button", { type: "button", role: "tab", id: `tab-${name}`, textContent: title });
    button.setAttribute("aria-controls", "panel");
    button.addEventListener("click", () => ((tab = name), drawPanel()));
    list.append(button);
  }
  list.addEventListener("keydown", (event) => {
    const names = Object.keys(TABS);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    tab = names[(names.indexOf(tab) + step + names.length) % names.length];
    drawPanel();
    byId(`tab-${tab}`).focus();
  });
  byId("copy").addEventListener("click", copyCommand);
}

function drawPanel() {
  const row = state.chosen;
  for (const name of Object.keys(TABS)) {
    byId(`tab-${name}`).ariaSelected = String(name === tab);
    byId(`tab-${name}`).tabIndex = name === tab ? 0 : -1;
  }
  byId("panel").setAttribute("aria-labelledby", `tab-${tab}`);
  if (row < 0) {
    byId("point-title").textContent = "No point chosen";
    return;
  }
  const rank = rankOnFront.get(row);
  const place = rank ? `, ${rank} of ${data.front.length} on the front` : done[row] ? "" : `, ${cell(column.get("status"), row)}`;
  byId("point-title").textContent = `Point ${cell(column.get("number"), row)}${place}`;
  const facts = [...objectives, ...parameters].filter((one) => cell(one, row) !== "");
  byId("point-figures").replaceChildren(...facts.map((one) => el("div", {}, el("dt", {}, one.shownUnit ? one.title.replace(/ \(.*/, "") : one.title), el("dd", { title: one.name }, cellUnit(one, row)))));
  byId("panel").replaceChildren(TABS[tab][1](row));
  byId("panel").scrollTop = 0;
  byId("command").replaceChildren(...commandOf(row).flatMap((words, i) => [i ? " " : "", el("span", {}, words)]));
}

/** Return a bar of cycles and one of energy for each op. */
function layersOf(row) {
  layerData ??= JSON.parse(byId("layers").textContent);
  const at = layerData.rows.indexOf(row);
  if (at < 0) {
    const why = done[row] ? "This page holds the layers of the best points only; the command below prints those of this one." : cell(column.get("reason") ?? { levels: null, numbers: [NaN], unit: "" }, row) || "This point was not simulated.";
    return el("p", {}, why);
  }
  const [cycles, energy] = [layerData.cycles[at], layerData.energy[at]];
  const names = layerData.ops[layerData.names[at]] ?? cycles.map((_, i) => `op ${i + 1}`);
  const unit = display({ unit: "pJ", name: "energy" }, Float64Array.from(energy));
  const bars = el("div", { className: "bars" }, el("b", {}, `${names.length} ops`), el("b", {}, "cycles"), el("b", {}, `energy (${unit.shownUnit})`));
  const [most, dearest] = [Math.max(1, ...cycles), Math.max(1e-9, ...energy)];
  const bar = (kind, share, text) => el("span", { className: `bar ${kind}` }, el("i", { style: `width:${(100 * share).toFixed(2)}%` }), el("span", {}, text));
  cycles.forEach((value, i) => {
    const name = names[i] ?? `op ${i + 1}`;
    bars.append(el("span", { className: "op", title: name }, name), bar("cycles", value / most, value.toLocaleString("en-US")), energy.length ? bar("energy", energy[i] / dearest, significant(energy[i] / unit.scale)) : el("span"));
  });
  return bars;
}

function valuesOf(row) {
  const lines = columns.filter((one) => cell(one, row) !== "").map((one) => el("tr", {}, el("th", { scope: "row" }, one.name), el("td", {}, cellUnit(one, row))));
  return el("table", {}, el("tbody", {}, ...lines));
}

/** Draw when each stage works for each op; a click on nothing: the tip names what is under the pointer. */
function timelineOf(row) {
  const found = data.timelines[row];
  if (commandOf(row)[0] === "codesign compare") return el("p", {}, "Points on CPUs have no timeline: their layers are simulated one by one.");
  if (!found && data.timelineNote) return el("p", {}, data.timelineNote);
  if (!found) return el("p", {}, "This page holds the timelines of the best points of the front. For this one, let the command below write it, as timeline.json for ui.perfetto.dev, with ", el("code", {}, "--out FOLDER"), ".");
  const [wide, tall, left] = [byId("panel").clientWidth - 6, 40, 88];
  const drawing = svg("svg", { width: wide, height: found.tracks.length * tall + 26, role: "img" });
  drawing.append(svg("title", {}, `Timeline of ${found.cycles.toLocaleString("en-US")} cycles`));
  const across = (cycle) => left + (cycle / Math.max(1, found.cycles)) * (wide - left - 8);
  found.tracks.forEach((name, i) => drawing.append(svg("text", { x: 0, y: i * tall + tall / 2 + 2, fill: "currentColor", "font-size": 12 }, name)));
  for (const [track, op, start, cycles] of found.events) {
    const box = svg("rect", { x: across(start), width: Math.max(0.6, across(start + cycles) - across(start)), y: track * tall + 2, height: tall - 8, fill: OKABE_ITO[op % OKABE_ITO.length] });
    const say = `${found.ops[op]}, ${found.tracks[track]}\ncycles ${start.toLocaleString("en-US")} to ${(start + cycles).toLocaleString("en-US")} (${cycles.toLocaleString("en-US")})`;
    box.addEventListener("pointermove", (event) => tip(say, event));
    box.addEventListener("pointerleave", () => tip(""));
    drawing.append(box);
  }
  const down = found.tracks.length * tall + 14;
  const end = { y: down, fill: "currentColor", "font-size": 12 };
  drawing.append(svg("text", { ...end, x: left }, "0"), svg("text", { ...end, x: wide - 8, "text-anchor": "end" }, `${found.cycles.toLocaleString("en-US")} cycles`));
  return el("div", {}, drawing, el("p", { className: "hint" }, "A colour is an op; a stage is drawn from its first tile of the op to its last. Every tile is in the timeline.json that the command below writes with ", el("code", {}, "--out FOLDER"), "."));
}

/** Return the words of the command that simulates a point, from what each of its values adds to it. */
function commandOf(row) {
  const { start, parts } = data.commands[cell(column.get("target"), row)] ?? { start: "", parts: [] };
  return [start, ...parts.map(([name, texts]) => texts[column.get(name).values[row]] ?? "")].filter(Boolean);
}

async function copyCommand() {
  const button = byId("copy");
  getSelection().selectAllChildren(byId("command"));
  try {
    await navigator.clipboard.writeText(byId("command").textContent);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl-C";
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
