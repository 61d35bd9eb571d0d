// Main: fill the page, tie views to the state, and draw.

function fillHead() {
  const { study } = data;
  document.querySelector("h1").textContent = study.name;
  byId("description").textContent = study.description;
  byId("figures").replaceChildren(...study.figures.map(([title, text, more]) => el("div", {}, el("dt", {}, title), el("dd", {}, text, more ? el("small", {}, ` ${more}`) : ""))));
  byId("foot").textContent = study.made;
}

function fillChoices() {
  const status = column.get("status");
  const number = (level) => status.values.filter((code) => status.levels[code] === level).length.toLocaleString("en-US");
  byId("status").replaceChildren(...status.levels.map((level) => el("option", { value: level, textContent: `${level} (${number(level)})`, selected: level === "done" })), el("option", { value: "all", textContent: `all (${count.toLocaleString("en-US")})`, selected: !status.levels.includes("done") }));
  const level = parameters.find((one) => one.numeric)?.name ?? "cycles";
  byId("filter").placeholder = `words and conditions: 2:4 ${level}>=32 cycles<1e6`;
  const [first, second = first] = objectives;
  options(byId("x"), measures, first);
  options(byId("y"), measures, second === first ? (measures.find((one) => one !== first) ?? first) : second);
  const chooser = column.get("chosen_by");
  options(byId("colour"), chooser.levels.length > 1 ? [...parameters, chooser] : parameters, null);
  byId("colour").prepend(el("option", { value: "", textContent: "nothing", selected: true }));
  for (const id of ["x", "y"]) setLog(id);
  byId("two-parameters").hidden = parameters.length < 2;
  if (parameters.length < 2) return;
  const numeric = [...parameters.filter((one) => one.numeric), ...parameters.filter((one) => !one.numeric)];
  options(byId("heat-x"), parameters, numeric[0]);
  options(byId("heat-y"), parameters, numeric[1]);
  options(byId("heat-z"), measures, first);
}

/** Start with a log axis where the values spread over more than a decade. */
function setLog(id) {
  const { numbers } = column.get(byId(id).value);
  let low = Infinity, high = 0;
  for (const value of numbers) if (!Number.isNaN(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  byId(`${id}-log`).checked = low > 0 && high / low > 10;
}

function drawAll() {
  drawScatter();
  drawParallel();
  if (parameters.length > 1) drawHeat();
}

/** Call a function once a frame at most. */
function calmly(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => ((waiting = false), draw()));
  };
}

function main() {
  fillHead();
  fillChoices();
  makeTable();
  makeTabs();
  listenScatter();
  if (parameters.length > 1) listenHeat();
  listeners.picked.push(calmly(drawAll), sortTable);
  listeners.chosen.push(ringChosen, markChosen, showChosen, drawPanel);
  byId("filter").addEventListener("input", pick);
  byId("status").addEventListener("change", pick);
  byId("clear").addEventListener("click", clearAll);
  for (const id of ["x", "y"]) byId(id).addEventListener("change", () => (setLog(id), drawScatter()));
  for (const id of ["x-log", "y-log", "colour"]) byId(id).addEventListener("change", drawScatter);
  for (const id of ["heat-x", "heat-y", "heat-z", "heat-how"]) byId(id).addEventListener("change", drawHeat);
  addEventListener("keydown", (event) => event.key === "Escape" && clearAll());
  scheme.addEventListener("change", drawAll);
  new ResizeObserver(calmly(drawAll)).observe(document.querySelector("main"));
  pick();
  drawAll();
  choose(data.front[0] ?? 0);
}

main();
