// Drawing: what all plots share: colours, scales, ticks, a canvas for many points under an SVG for few.

const OKABE_ITO = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"];
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const scheme = matchMedia("(prefers-color-scheme: dark)");

const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Return the colour of a share of 0 to 1; the end that the page's colour would swallow is left out. */
function ramp(share) {
  const at = (scheme.matches ? 0.2 + 0.8 * share : 0.92 * share) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const mix = VIRIDIS[low].map((part, i) => Math.round(part + (at - low) * (VIRIDIS[low + 1][i] - part)));
  return `rgb(${mix.join(",")})`;
}

/** Return a colour for each level of a parameter. */
function levelColours({ levels, numeric }) {
  if (!numeric && levels.length <= OKABE_ITO.length) return levels.map((_, i) => OKABE_ITO[i]);
  return levels.map((_, i) => ramp(levels.length > 1 ? i / (levels.length - 1) : 0));
}

/** Lay a canvas and an SVG over each other in a box, as large as it is. */
function layers(box) {
  const { width, height } = box.getBoundingClientRect();
  box._canvas ??= box.appendChild(el("canvas", { ariaHidden: "true" }));
  box._svg ??= box.appendChild(svg("svg"));
  const dots = Math.max(1, devicePixelRatio);
  box._canvas.width = Math.round(width * dots);
  box._canvas.height = Math.round(height * dots);
  const pen = box._canvas.getContext("2d");
  pen.setTransform(dots, 0, 0, dots, 0, 0);
  box._svg.replaceChildren();
  return { pen, ink: box._svg, width, height };
}

/** Return a scale from numbers to pixels, with a little room at both ends. */
function scaleOf(numbers, rows, from, to, log) {
  let low = Infinity, high = -Infinity;
  for (const row of rows) {
    const value = numbers[row];
    if (Number.isNaN(value) || (log && value <= 0)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) [low, high] = [1, 10];
  const bend = log ? Math.log10 : (value) => value;
  const unbend = log ? (value) => 10 ** value : (value) => value;
  let [a, b] = [bend(low), bend(high)];
  const room = (b - a) * 0.04 || Math.abs(a) * 0.1 || 1;
  [a, b] = [a - room, b + room];
  const scale = (value) => from + ((bend(value) - a) / (b - a)) * (to - from);
  scale.invert = (pixel) => unbend(a + ((pixel - from) / (to - from)) * (b - a));
  scale.ends = [unbend(a), unbend(b)];
  return scale;
}

/** Return about `most` round values between the ends of a scale of a column. */
function ticks(scale, one, log, most) {
  const [low, high] = scale.ends.map((end) => end / one.scale);
  if (log && high / low > 8) {
    const decades = Math.log10(high / low);
    const steps = decades * 3 <= most ? [1, 2, 5] : [1];
    const skip = Math.max(1, Math.ceil(decades / most));
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += skip) {
      for (const step of steps) found.push(Number((step * 10 ** power).toPrecision(3)));
    }
    return found.filter((value) => value >= low && value <= high).map((value) => value * one.scale);
  }
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((round) => round * power).find((size) => size >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(Number((i * step).toPrecision(12)) * one.scale);
  return found;
}

/** Write a tick: short, since the unit stands on the axis. */
function tickText(one, value) {
  const shown = Number((value / one.scale).toPrecision(6));
  if (one.unit === undefined) return plain(shown);
  const [, size, letter] = [[, 1e12, " T"], [, 1e9, " G"], [, 1e6, " M"], [, 1e4, " k"]].find(([, size]) => Math.abs(shown) >= size) ?? [, 1, ""];
  return `${Number((shown / (letter === " k" ? 1e3 : size)).toPrecision(4))}${letter}`;
}

/** Show words beside the pointer, or nothing. */
function tip(text, event) {
  const box = byId("tip");
  box.hidden = !text;
  if (!text) return;
  box.textContent = text;
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  box.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18}px`;
}

/** Return what a tip says of a point. */
function told(row) {
  const lines = objectives.map((one) => `${one.name.replace(/_(pj|s|bytes)$/, "")}: ${cellUnit(one, row)}`);
  return [`Point ${cell(column.get("number"), row)}${rankOnFront.has(row) ? ", on the front" : ""}`, ...lines, ...parameters.filter((one) => one.values[row] >= 0).map((one) => `${one.name}: ${cell(one, row)}`)].join("\n");
}

/** Fill a select with columns. */
function options(select, list, chosen) {
  select.replaceChildren(...list.map((one) => el("option", { value: one.name, textContent: one.shownUnit ? one.title : one.name, selected: one === chosen })));
}
