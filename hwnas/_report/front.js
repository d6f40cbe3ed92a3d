/* The front of a report, drawn so that it answers: a network shows its numbers and its command, the budget moves.
   It reads the data beside it and nothing else. Text of the data becomes text of the page, never markup. Where
   anything fails, the picture stays. */
(() => {
  "use strict";
  const root = document.getElementById("front");
  const source = document.getElementById("front-data");
  if (!root || !source) return;
  const data = JSON.parse(source.textContent);
  if (!data.networks.length || !data.axes.length) return;
  const originals = data.original ? [data.original] : [];
  const NS = root.querySelector("svg").namespaceURI;
  const live = root.querySelector(".live");
  const { LEFT, RIGHT, TOP, BOTTOM, roundTicks, logTicks, htmlElement: html, copy } = plot;
  const make = (...what) => plot.svgElement(NS, ...what);
  const ROUNDING = 1e-5; /* latencies are stored with six digits */
  const NEAR = 26; /* pixels from a pointer to what it means */

  const state = { axis: data.axes[0], log: true, chosen: null, lines: {}, width: 0, height: 0, x: null, y: null };

  /* Numbers */

  const costOf = (item, axis = state.axis) => item.costs[axis.key] ?? null;
  const drawn = (items) => items.filter((item) => costOf(item) !== null && item.value !== null);
  const plain = (number) => String(Number(number.toPrecision(4)));
  const written = (value, axis = state.axis) => `${plain(value / axis.divisor)}${axis.unit ? ` ${axis.unit}` : ""}`;
  const within = (item, line) => costOf(item) !== null && costOf(item) <= line * (1 + ROUNDING);

  function makeScales() {
    const networks = drawn([...data.networks, ...originals]), trials = drawn(data.trials);
    const xs = [...networks, ...trials].map((item) => costOf(item));
    if (state.axis.budget) xs.push(state.axis.budget);
    const ys = networks.flatMap(({ value, error }) => [value - (error || 0), value + (error || 0)]);
    ys.push(...trials.map((trial) => trial.value));
    const [least, most] = [Math.min(...ys), Math.max(...ys)];
    const room = (most - least) * 0.07 || Math.abs(most) * 0.05 || 1;
    state.x = plot.scale(plot.roomy(xs, state.log), LEFT, state.width - RIGHT);
    state.y = plot.scale({ low: least - room, high: most + room, log: false }, state.height - BOTTOM, TOP);
  }

  const xOf = (value) => state.x.of(value);
  const yOf = (value) => state.y.of(value);
  const valueAt = (pixel) => state.x.at(pixel);

  /* The parts of the page */

  const controls = html("div", { class: "controls" }, live);
  const axisLabel = html("label", {}, controls, "Horizontal axis ");
  const axisSelect = html("select", { id: "front-axis" }, axisLabel);
  data.axes.forEach((axis, i) => html("option", { value: i }, axisSelect, axis.name));
  const logLabel = html("label", {}, controls);
  const logBox = html("input", { type: "checkbox", id: "front-log" }, logLabel);
  logBox.checked = true;
  logLabel.append(" logarithmic");
  const reset = html("button", { type: "button" }, controls, "Reset the budget");
  const says = html("p", { class: "says", "aria-live": "polite", id: "front-says" }, live);
  const sides = html("div", { class: "sides" }, live);
  const stage = html("div", { class: "stage" }, sides);
  const svg = make("svg", { class: "plot", role: "group" }, stage);
  const legend = html("p", { class: "legend" }, stage);
  const details = html("div", { class: "details", id: "front-details" }, sides);
  let marks = [], line = null;

  explain();

  function explain() {
    const has = (name) => data.networks.some((network) => network[name]);
    const bars = [
      has("error") ? "one standard error" : "",
      has("half_width") ? "range in which nine of ten later measurements of the latency lie" : "",
    ];
    const shown = [
      "● delivered, within the budget line; ○ delivered, over it; orange: the best within it.",
      has("dominated") ? "✕ Dominated by another one once measured." : "",
      originals.length ? "◆ The original model." : "",
      bars.some(Boolean) ? `Bars: ${bars.filter(Boolean).join(", ")}.` : "",
      has("low") ? "Bracket below the chosen network: the 90 % interval of its predicted q10." : "",
      data.trials.length
        ? `Small dots: ${data.trials.length} trials that were not delivered, with ${data.trial_latency} latency`
          + `${data.left_out ? `; ${data.left_out} more are left out` : ""}.`
        : "",
      data.other_metric ? `The search compared trials by ${data.other_metric}; they are not shown here.` : "",
    ];
    legend.textContent = `${shown.filter(Boolean).join(" ")} `;
    const hint = "Drag the dashed line, or focus it and press the arrow keys; Tab goes through the networks.";
    html("span", { class: "hint" }, legend, hint);
  }

  /* Drawing */

  function layout() {
    state.width = Math.max(260, Math.floor(stage.clientWidth));
    state.height = Math.round(Math.min(460, Math.max(300, state.width * 0.66)));
    makeScales();
    svg.setAttribute("viewBox", `0 0 ${state.width} ${state.height}`);
    svg.setAttribute("height", state.height);
    svg.setAttribute("aria-label", `${data.metric.label} against ${state.axis.name}: the delivered networks`);
    svg.replaceChildren();
    drawAxes();
    for (const trial of drawn(data.trials)) {
      trial.mark = make("circle", { class: "trial", r: 2.6, cx: xOf(costOf(trial)), cy: yOf(trial.value) }, svg);
    }
    for (const item of drawn(originals)) {
      const d = `M${xOf(costOf(item))} ${yOf(item.value) - 6}l6 6l-6 6l-6 -6z`;
      item.mark = make("path", { class: "trial original", d }, svg);
      make("title", {}, item.mark, "The original model");
    }
    drawFront();
    state.interval = make("g", { "aria-hidden": "true" }, svg);
    drawLine();
    marks = drawn(data.networks).map(drawNetwork);
    svg.append(line.group);
    refresh();
  }

  function drawAxes() {
    const { low, high, log } = state.x;
    const { divisor, unit, name, budget } = state.axis;
    const bottom = state.height - BOTTOM, right = state.width - RIGHT;
    const group = make("g", { "aria-hidden": "true" }, svg);
    const most = Math.max(3, Math.floor(state.width / 62));
    const ticks = (log ? logTicks : roundTicks)(low / divisor, high / divisor, most);
    for (const tick of ticks) {
      const x = xOf(tick * divisor);
      make("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: bottom }, group);
      make("text", { x, y: bottom + 16, "text-anchor": "middle" }, group, plain(tick));
    }
    const scale = data.metric.scale;
    for (const tick of roundTicks(state.y.low * scale, state.y.high * scale, 6)) {
      const y = yOf(tick / scale);
      make("line", { class: "grid", x1: LEFT, x2: right, y1: y, y2: y }, group);
      make("text", { x: LEFT - 7, y: y + 4, "text-anchor": "end" }, group, plain(tick));
    }
    make("path", { class: "frame", fill: "none", d: `M${LEFT} ${TOP}V${bottom}H${right}` }, group);
    const middle = (LEFT + right) / 2;
    make("text", { x: middle, y: bottom + 36, "text-anchor": "middle" }, group, unit ? `${name} (${unit})` : name);
    make("text", { x: 4, y: 12 }, group, data.metric.label);
    if (budget) {
      const x = xOf(budget);
      make("line", { class: "given", x1: x, x2: x, y1: bottom, y2: bottom + 6 }, group);
    }
  }

  function drawFront() {
    const order = drawn(data.networks).sort((a, b) => costOf(a) - costOf(b));
    let best = -Infinity, path = "";
    for (const network of order) {
      const value = data.metric.sign * network.value;
      if (value <= best) continue;
      best = value;
      const x = xOf(costOf(network)), y = yOf(network.value);
      path += path ? `H${x}V${y}` : `M${x} ${y}`;
    }
    make("path", { class: "front-line", d: path, "aria-hidden": "true" }, svg);
  }

  function drawNetwork(network) {
    const x = xOf(costOf(network)), y = yOf(network.value);
    const group = make("g", { class: "point", tabindex: 0, role: "button" }, svg);
    if (network.error) {
      const ends = { y1: yOf(network.value - network.error), y2: yOf(network.value + network.error) };
      make("line", { class: "bar", x1: x, x2: x, ...ends }, group);
    }
    if (network.half_width && state.axis.key === "latency_ms") {
      const low = Math.max(costOf(network) - network.half_width, state.x.low);
      make("line", { class: "bar", x1: xOf(low), x2: xOf(costOf(network) + network.half_width), y1: y, y2: y }, group);
    }
    make("circle", { class: "hit", r: 14, cx: x, cy: y }, group);
    make("circle", { class: "ring", r: 10, cx: x, cy: y }, group);
    if (network.dominated) {
      make("path", { class: "mark cross", d: `M${x - 5} ${y - 5}l10 10m0-10l-10 10` }, group);
    } else {
      make("circle", { class: "mark", r: 5.5, cx: x, cy: y }, group);
    }
    const label = make("text", { x, y: y - 14, "text-anchor": x > state.width - 70 ? "end" : "middle" }, group, "");
    group.addEventListener("focus", () => choose(network));
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(network);
    });
    return { network, group, label };
  }

  function drawLine() {
    const bottom = state.height - BOTTOM;
    const group = make("g", { class: "budget", tabindex: 0, role: "slider", "aria-orientation": "horizontal" });
    group.setAttribute("aria-label", `Budget for ${state.axis.name}`);
    line = {
      group,
      past: make("rect", { class: "past", y: TOP, height: bottom - TOP, "aria-hidden": "true" }, svg),
      cut: make("line", { class: "cut", y1: TOP - 4, y2: bottom }, group),
      hit: make("rect", { class: "hit", y: TOP - 26, width: 28, height: bottom - TOP + 26 }, group),
      grip: make("path", { class: "grip" }, group),
      text: make("text", { y: TOP - 18, "text-anchor": "middle" }, group),
    };
    group.addEventListener("pointerdown", (event) => {
      if (nearest(event, 12)) return; /* a network under the line */
      event.preventDefault();
      group.focus({ preventScroll: true });
      group.setPointerCapture(event.pointerId);
      state.dragged = true;
    });
    group.addEventListener("pointermove", (event) => {
      if (!state.dragged) return;
      event.stopPropagation();
      moveLine(valueAt(toPlot(event).x));
    });
    for (const end of ["pointerup", "pointercancel"]) group.addEventListener(end, () => { state.dragged = false; });
    group.addEventListener("keydown", keyOnLine);
  }

  function keyOnLine(event) {
    const width = state.width - LEFT - RIGHT;
    const steps = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01, PageDown: -0.1, PageUp: 0.1 };
    if (event.key === "Home") moveLine(valueAt(LEFT));
    else if (event.key === "End") moveLine(valueAt(LEFT + width));
    else if (event.key in steps) moveLine(valueAt(xOf(lineValue()) + steps[event.key] * width));
    else return;
    event.preventDefault();
  }

  /* The budget */

  function lineValue() {
    const kept = state.lines[state.axis.key];
    if (kept !== undefined) return kept;
    return state.axis.budget || Math.max(...drawn(data.networks).map((network) => costOf(network)));
  }

  function moveLine(value) {
    const least = Math.min(...drawn(data.networks).map((network) => costOf(network)).filter((cost) => cost > 0));
    state.lines[state.axis.key] = value > 0 ? value : least / 10; // a budget of 0 has no place on a logarithmic axis
    refresh();
  }

  function bestWithin(value) {
    const key = state.axis.key;
    const fits = (n) => n.value !== null && within(n, value) && n.over.every((cost) => cost === key);
    const fit = data.networks.filter(fits);
    const better = (a, b) => data.metric.sign * (a.value - b.value) || costOf(b) - costOf(a);
    return fit.reduce((best, network) => (best === null || better(network, best) > 0 ? network : best), null);
  }

  function sayBest(best, value) {
    says.replaceChildren();
    const elsewhere = (network) => network.over.some((cost) => cost !== state.axis.key);
    const excluded = data.networks.some((network) => within(network, value) && elsewhere(network));
    const kept = excluded ? " that keeps the run's other budgets" : "";
    const limit = `${state.axis.name} of at most ${written(value)}`;
    if (best === null) {
      const near = drawn(data.networks).sort((a, b) => costOf(a) - costOf(b))[0];
      const excess = costOf(near) / value - 1;
      const percent = Number((100 * excess).toPrecision(3));
      const far = excess > ROUNDING ? `; the nearest is ${near.id}, ${percent} % over` : "";
      says.textContent = `No delivered network${kept} has ${limit}${far}.`;
      return;
    }
    html("b", {}, says, best.id);
    const shown = best.facts[0][1];
    says.append(` is the best delivered network${kept} with ${limit}: ${shown}, ${written(costOf(best))}. `);
    offer(best.export, says);
  }

  function refresh() {
    const value = lineValue(), x = xOf(value), best = bestWithin(value);
    line.cut.setAttribute("x1", x);
    line.cut.setAttribute("x2", x);
    line.hit.setAttribute("x", x - 14);
    const arrows = `M${x - 4} ${TOP - 10}l-4 3l4 3M${x + 4} ${TOP - 10}l4 3l-4 3`;
    line.grip.setAttribute("d", `M${x - 11} ${TOP - 13}h22v12h-22z${arrows}`);
    line.text.textContent = written(value);
    line.text.setAttribute("x", Math.min(state.width - 44, Math.max(LEFT + 30, x)));
    line.past.setAttribute("x", x);
    line.past.setAttribute("width", Math.max(0, state.width - RIGHT - x));
    const kept = data.networks.filter((network) => within(network, value)).length;
    const counted = `${written(value)}: ${kept} of ${data.networks.length} networks within`;
    const valuetext = best ? `${counted}, best ${best.id}` : counted;
    const aria = { valuemin: state.x.low, valuemax: state.x.high, valuenow: value, valuetext };
    for (const [name, is] of Object.entries(aria)) line.group.setAttribute(`aria-${name}`, is);
    for (const { network, group, label } of marks) {
      const inside = within(network, value);
      group.classList.toggle("beyond", !inside);
      group.classList.toggle("best", network === best);
      group.classList.toggle("chosen", network === state.chosen);
      group.setAttribute("aria-pressed", network === state.chosen);
      label.textContent = network === best || network === state.chosen ? network.id : "";
      group.setAttribute("aria-label", `${network.id}: ${network.facts[0][1]}, ${written(costOf(network))}, `
        + `${inside ? "within" : "over"} the budget line${network === best ? ", the best within it" : ""}`
        + `${network.dominated ? `, dominated by ${network.dominated}` : ""}`);
    }
    for (const trial of [...data.trials, ...originals]) if (trial.mark) trial.mark.classList.toggle("chosen", trial === state.chosen);
    sayBest(best, value);
    if (state.chosen === null) choose(best || data.networks[0]);
  }

  /* One network */

  function choose(item) {
    if (item === state.chosen) return;
    state.chosen = item;
    refresh();
    details.replaceChildren();
    html("h3", {}, details, item.id || `Trial ${item.number}`);
    const facts = html("dl", {}, details);
    const shown = item.facts || [[data.metric.label, item.written], ["", "not delivered"]];
    const axes = item.facts ? [] : data.axes.filter((axis) => costOf(item, axis) !== null);
    const nameOf = (axis) => (axis.key === "latency_ms" ? `${data.trial_latency} latency` : axis.name);
    const costs = axes.map((axis) => [nameOf(axis), written(costOf(item, axis), axis)]);
    for (const [name, text] of [...shown, ...costs]) {
      html("dt", {}, facts, name);
      html("dd", {}, facts, text);
    }
    html("p", { class: "arch" }, details, item.arch);
    if (item.id && !originals.includes(item)) offer(item.export, html("p", {}, details));
    drawInterval(item);
  }

  function drawInterval(item) {
    state.interval.replaceChildren();
    if (state.axis.key !== "latency_ms" || !item.low || !item.high || item.value === null) return;
    const y = yOf(item.value) + 12;
    const clipped = (value) => Math.min(Math.max(value, state.x.low), state.x.high);
    const [low, high] = [item.low, item.high].map((value) => xOf(clipped(value)));
    make("path", { class: "interval", d: `M${low} ${y - 3}v6m0-3H${high}m0-3v6` }, state.interval);
  }

  function offer(command, parent) {
    if (!command) {
      parent.append("This run has no ONNX file to export.");
      return;
    }
    html("code", {}, parent, command);
    parent.append(" ");
    const button = html("button", { type: "button", "aria-label": `Copy the command: ${command}` }, parent, "Copy");
    button.addEventListener("click", async () => {
      button.textContent = (await copy(command)) ? "Copied" : "Copy it by hand";
    });
  }

  /* Pointers and controls */

  function toPlot(event) {
    const box = svg.getBoundingClientRect();
    const scale = state.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  function nearest(event, reach) {
    const { x, y } = toPlot(event);
    const distance = (item) => Math.hypot(xOf(costOf(item)) - x, yOf(item.value) - y);
    const closest = (items) => drawn(items).reduce((a, b) => (a === null || distance(b) < distance(a) ? b : a), null);
    const network = closest(data.networks), trial = closest([...data.trials, ...originals]);
    if (network && distance(network) <= Math.min(14, reach)) return network;
    if (trial && distance(trial) <= reach / 3) return trial;
    return network && distance(network) <= reach ? network : null;
  }

  function point(event) {
    if (state.dragged) return;
    const item = nearest(event, NEAR);
    if (item) choose(item);
  }

  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  axisSelect.addEventListener("change", () => {
    state.axis = data.axes[Number(axisSelect.value)];
    relayout();
  });
  logBox.addEventListener("change", () => {
    state.log = logBox.checked;
    relayout();
  });
  reset.addEventListener("click", () => {
    delete state.lines[state.axis.key];
    refresh();
  });

  function relayout() {
    layout();
    if (state.chosen) drawInterval(state.chosen);
  }

  /* Only now, when everything is drawn, does it take the picture's place. */
  root.classList.add("on");
  try {
    layout();
    drawInterval(state.chosen);
    new ResizeObserver(() => {
      if (Math.floor(stage.clientWidth) !== state.width && stage.clientWidth >= 260) relayout();
    }).observe(stage);
  } catch (error) {
    root.classList.remove("on");
    throw error;
  }
})();
