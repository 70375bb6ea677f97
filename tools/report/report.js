// SPDX-License-Identifier: Apache-2.0
// The page of lutra profile --html: reads the element "data" (docs/profiling.md has its names) and shows it. Names
// of tensors, models and devices come from files: they only ever become text, never markup.
import * as Plot from "@observablehq/plot";

// The profiled model, and what it is compared with behind it: that is the older way, so it comes first.
const { profile, devices } = JSON.parse(document.getElementById("data").textContent);
const results = profile.against ? [profile.against, profile] : [profile];
const report = document.getElementById("report");
const MIB = 2 ** 20;

// ---- words and numbers -------------------------------------------------------------------------

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const digits = (value, n = 3) => {
  if (value == null || !Number.isFinite(value)) return "unknown";
  // Beyond 21 digits toLocaleString throws; nobody reads as many.
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e15)) return value.toExponential(1);
  return value.toLocaleString("en", { maximumSignificantDigits: Math.max(n, Math.ceil(Math.log10(Math.abs(value) || 1))) });
};
const mib = (bytes) => `${digits(bytes / MIB)} MiB`;
const sum = (list, key) => list.reduce((total, entry) => total + (entry[key] ?? 0), 0);
const knowsCaches = (result) => result.steps.every((step) => step.dram_bytes != null);

// What a result is called in legends: short, and different from the others.
const weights = (result) => (result.clusters ? `${result.clusters} clusters` : "dense");
const labels = results.map((result) => `${weights(result)}, ${result.mode}`);
results.forEach((result, i) => (result.label = labels.indexOf(labels[i]) === i ? labels[i] : `${labels[i]} (${i + 1})`));

const predicted = results.some((result) => result.predicted);
const took = predicted ? "predicted" : "measured";

// ---- parts of the page -------------------------------------------------------------------------

function section(title, text, ...children) {
  const id = title.toLowerCase().replace(/[^a-z]+/g, "-");
  const made = element("section", { "aria-labelledby": id }, element("h2", { id }, title), element("p", {}, text), ...children);
  report.append(made);
  return made;
}

// A chart that is drawn anew when the width of its place changes. `description` is what a screen reader says.
function chart(name, description, draw) {
  const figure = element("figure", { id: name });
  let width = 0;
  new ResizeObserver(() => {
    const now = Math.round(figure.clientWidth);
    if (!now || now === width) return;
    width = now;
    figure.replaceChildren(draw(Math.min(width, 1060)));
    // Legends have small pictures of their own; the chart is the largest.
    const pictures = [...figure.querySelectorAll("svg")], area = (picture) => picture.clientWidth * picture.clientHeight;
    for (const picture of pictures) picture.setAttribute("aria-hidden", "true");
    const drawn = pictures.reduce((a, b) => (area(b) > area(a) ? b : a));
    drawn.removeAttribute("aria-hidden");
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", description);
  }).observe(figure);
  return figure;
}

function card(value, text) {
  return element("li", {}, element("b", {}, value), element("span", {}, text));
}

function heading() {
  const first = profile;
  document.title = `Lutra profile: ${first.arch}`;
  const about = `${first.device}, ${first.threads} thread${first.threads === 1 ? "" : "s"}, batch ${first.batch}`;
  const top = element("header", {}, element("h1", {}, first.arch), element("p", {}, about, " ", element("span", { class: "badge" }, took)));
  report.append(top);
  for (const result of results) {
    const cards = element("ul", { class: "cards", "aria-label": result.label });
    cards.append(card(`${digits(result.total_ms)} ms`, `${took} time of a run`));
    cards.append(card(mib(sum(result.steps, "weight_bytes")), "weights read in a run"));
    if (knowsCaches(result)) cards.append(card(mib(sum(result.steps, "dram_bytes")), "from main memory (model)"));
    const { mj_per_inference: measured, lower_bound_mj: bound, source } = result.energy ?? {};
    cards.append(measured != null ? card(`${digits(measured)} mJ`, `energy an inference (${source})`)
      : card(`≥ ${digits(bound)} mJ`, "energy an inference: no meter, the bare operations and bytes alone"));
    report.append(element("p", { class: "label", "aria-hidden": "true" }, result.label), cards);
  }
}

// ---- charts ------------------------------------------------------------------------------------

const palette = { range: ["#3b7dd8", "#e07b39", "#2f9e6e", "#b45fc4", "#c9a227", "#d9577a", "#5aa9c9", "#8a8f98"] };

// The steps before, in and behind the blocks.
function blocks() {
  const rows = [];
  for (const result of results) {
    const seen = result.steps.findIndex((step) => step.block != null);
    result.steps.forEach((step, i) => rows.push({ ...step, label: result.label, part: step.block != null ? String(step.block) : i < seen ? "in" : "out" }));
  }
  const order = [...new Set(rows.map((row) => row.part))].sort((a, b) => (a === "in" ? -1 : b === "in" ? 1 : a === "out" ? 1 : b === "out" ? -1 : a - b));
  section("Time per block", `Where the ${took} time of a run goes: block by block, "in" before the first and "out" behind the last, parted by operation.`,
    chart("blocks", `Bars: ${took} milliseconds of each block, parted by operation`, (width) =>
      Plot.plot({
        width, height: (order.length * 22 + 20) * results.length + 74, marginLeft: 44, marginBottom: 44, color: { legend: true, ...palette },
        x: { label: "ms", grid: true }, y: { label: "block", domain: order }, fy: { axis: null, domain: results.map((result) => result.label), paddingInner: 0.12 }, marginTop: 28,
        marks: [
          Plot.barX(rows, Plot.groupY({ x: "sum" }, { y: "part", fy: results.length > 1 ? "label" : undefined, x: "ms", fill: "op", tip: true })),
          ...(results.length > 1 ? [Plot.text(results, { fy: "label", text: "label", frameAnchor: "top-left", dy: -16, fontSize: 13, fontWeight: "bold" })] : []),
          Plot.ruleX([0]),
        ],
      })));
}

function roofline() {
  const dots = results.flatMap((result) => result.steps.filter((step) => step.macs && step.ms > 0).map((step) => ({
    ...step, label: result.label, intensity: step.macs / (step.weight_bytes + step.activation_bytes), gmacs: step.macs / step.ms / 1e6,
  })));
  const peaks = results.filter((result) => result.peak_gmacs && result.dram_gb_per_s);
  const most = Math.max(...dots.map((dot) => dot.intensity), 1), least = Math.min(...dots.map((dot) => dot.intensity), 1);
  const speeds = [...dots.map((dot) => dot.gmacs), ...peaks.map((result) => result.peak_gmacs)];
  const roofs = peaks.flatMap((result) => {
    const ridge = result.peak_gmacs / result.dram_gb_per_s;
    return [least / 2, ridge, Math.max(most, ridge) * 2].map((x) => ({ label: result.label, intensity: x, gmacs: Math.min(result.peak_gmacs, x * result.dram_gb_per_s) }));
  });
  section("Roofline", "Each dot is a step. To the right: more multiply-adds for a byte of weights and activations. Up: more of them a second. " + (peaks.length
    ? "The lines are what the device can do at the most: bytes from main memory on the slope, multiply-adds on the flat."
    : "What this machine can do at the most is not known: 'lutra device measure' measures it once, and the lines appear."),
    chart("roofline", `Dots: multiply-adds a second of each of ${dots.length} steps over its multiply-adds for a byte, under the device's limits`, (width) =>
      Plot.plot({
        width, height: Math.min(460, Math.max(320, width * 0.6)), marginLeft: 50, marginBottom: 44, color: { legend: true, ...palette },
        symbol: { legend: results.length > 1, domain: results.map((result) => result.label) },
        x: { type: "log", label: "multiply-adds for a byte", grid: true, tickFormat: String },
        // Room for the marks below and the roof above.
        y: { type: "log", label: "10⁹ multiply-adds a second", grid: true, tickFormat: String, domain: [Math.min(...speeds) / 1.5, Math.max(...speeds) * 1.3] },
        marks: [
          Plot.line(roofs, { x: "intensity", y: "gmacs", z: "label", strokeWidth: 2 }),
          Plot.dot(dots, { x: "intensity", y: "gmacs", stroke: "op", symbol: results.length > 1 ? "label" : undefined, r: 4, strokeWidth: 1.8,
            channels: { step: "name", "bound by": "bound", ms: "ms" }, tip: true }),
        ],
      })));
}

function traffic() {
  const rows = results.flatMap((result) => [
    { label: result.label, what: "weights", mib: sum(result.steps, "weight_bytes") / MIB },
    ...(knowsCaches(result) ? [{ label: result.label, what: "from main memory (model)", mib: sum(result.steps, "dram_bytes") / MIB }] : []),
    ...[["counted_bytes", "from main memory (counted: misses of the last cache)"], ["controller_bytes", "main memory's controllers, all programs (counted)"]]
      .filter(([key]) => result.traffic?.[key] != null).map(([key, what]) => ({ label: result.label, what, mib: result.traffic[key] / MIB })),
  ]);
  bars("traffic", "Traffic", "Bytes of a run: the weights that it must read, and what a model of the caches says crosses from main memory when one run follows another.",
    rows, "mib", "MiB", "what");
  const energies = results.flatMap((result) => [
    ...(result.energy?.mj_per_inference == null ? [] : [{ label: result.label, what: `measured (${result.energy.source})`, mj: result.energy.mj_per_inference }]),
    ...(result.energy?.lower_bound_mj == null ? [] : [{ label: result.label, what: "bare operations and bytes, a lower bound", mj: result.energy.lower_bound_mj }]),
  ]);
  if (energies.length)
    bars("energy", "Energy", "Millijoules of one inference; what was measured is less what the device draws when idle. The bound is what the bare operations and the bytes from main memory take at the least: a device draws many times that.",
      energies, "mj", "mJ", "what");
}

function comparison() {
  if (!devices?.length) return;
  for (const device of devices) device.label = (device.against ? profile.against : profile).label;
  bars("devices", "Devices, predicted", "Predicted, not measured: the time of a run on described devices, on all their cores. docs/devices.md says how far such predictions can be trusted.",
    devices, "total_ms", "predicted ms", "title");
}

function bars(name, title, text, rows, key, unit, group) {
  const groups = [...new Set(rows.map((row) => row[group]))], several = results.length > 1;
  const values = groups.map((one) => `${one}: ` + rows.filter((row) => row[group] === one).map((row) => `${row.label} ${digits(row[key])} ${unit}`).join(", "));
  section(title, text, chart(name, `Bars. ${values.join("; ")}`, (width) => {
    // What is too wide for the page stands in two lines.
    const height = results.length * 24, letters = Math.floor(width / 7.5), gap = groups.some((one) => one.length > letters) ? 44 : 28;
    return Plot.plot({
      width, height: groups.length * (height + gap) + 40, marginLeft: 10, marginRight: 70, marginTop: gap - 4, marginBottom: 40, color: { legend: several, domain: results.map((result) => result.label), ...palette },
      x: { label: unit, grid: true, ticks: Math.min(10, width / 70) }, y: { axis: null, domain: results.map((result) => result.label) }, fy: { axis: null, domain: groups, paddingInner: groups.length > 1 ? gap / (height + gap) : 0 },
      marks: [
        Plot.text(groups, { fy: (d) => d, text: (d) => d, frameAnchor: "top-left", lineAnchor: "bottom", lineWidth: 0.56 * letters, dy: -5, fontSize: 13 }),
        Plot.barX(rows, { x: key, y: "label", fy: group, fill: "label", insetTop: 1, insetBottom: 1, tip: true }),
        Plot.text(rows, { x: key, y: "label", fy: group, text: (row) => digits(row[key]), textAnchor: "start", dx: 4 }),
        Plot.ruleX([0]),
      ],
    });
  }));
}

// ---- the table ---------------------------------------------------------------------------------

const COLUMNS = [
  { key: "name", title: "name", text: true },
  { key: "ms", title: "ms" },
  { key: "share", title: "share %", show: (value) => value.toFixed(1) },
  { key: "label", title: "model", text: true },
  { key: "index", title: "step", show: String },
  { key: "op", title: "operation", text: true },
  { key: "block", title: "block", show: (value) => (value == null ? "" : String(value)) },
  { key: "macs", title: "million MACs", show: (value) => digits(value / 1e6) },
  { key: "gmacs", title: "GMAC/s" },
  { key: "weight_bytes", title: "weights KiB", show: (value) => digits(value / 1024) },
  { key: "activation_bytes", title: "activations KiB", show: (value) => digits(value / 1024) },
  { key: "dram_bytes", title: "main memory KiB", show: (value) => (value == null ? "" : digits(value / 1024)) },
  { key: "bound", title: "bound by", text: true },
];

function table() {
  const columns = COLUMNS.filter((column) => column.key !== "label" || results.length > 1);
  const rows = results.flatMap((result) => result.steps.map((step) => ({
    ...step, label: result.label, share: 100 * step.share, gmacs: step.macs ? step.macs / step.ms / 1e6 : 0 })));
  const body = element("tbody");
  const fill = () => body.replaceChildren(...rows.map((row) => element("tr", {}, ...columns.map((column) => {
    const attributes = column.text ? { class: "text" } : {};
    if (column.key === "name") attributes.scope = "row";
    return element(column.key === "name" ? "th" : "td", attributes, column.text ? row[column.key] ?? "" : (column.show ?? digits)(row[column.key]));
  }))));
  const heads = columns.map((column) => {
    const head = element("th", { scope: "col", class: column.text ? "text" : "" });
    const button = element("button", { type: "button" }, column.title);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === (column.text ? "ascending" : null) || head.getAttribute("aria-sort") === "ascending" || (!column.text && !head.hasAttribute("aria-sort"));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const sign = descending ? -1 : 1;
      rows.sort((a, b) => sign * (column.text ? String(a[column.key]).localeCompare(String(b[column.key])) : (a[column.key] ?? -1) - (b[column.key] ?? -1)));
      fill();
    });
    head.append(button);
    return head;
  });
  fill();
  section("Steps", "Every step of the plan. The heads of the columns sort.",
    element("div", { class: "scroll", id: "steps", tabindex: "0", role: "region", "aria-label": "Table of steps, scrolls sideways" },
      element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body)));
}

heading();
blocks();
roofline();
traffic();
comparison();
table();
