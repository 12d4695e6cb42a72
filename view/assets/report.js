/* The report of a run: figures, curves, tables; and how it stays fresh while the run goes on. */
(async () => {
  const run = Page.data, { el, number } = Page, { count, brief, digits } = Chart;
  const main = document.getElementById("main");
  const figures = Object.fromEntries(Object.entries(run.figures).map(([key, x]) => [key, Page.real(x)]));
  const known = Number.isFinite;
  const NAMES = ["step", "tokens", "loss", "val_loss", "lr", "grad_norm", "tokens_per_second", ...run.layers];

  /* Columns by name, of points that each stand for one step or for the extremes of several. */
  async function columns(points) {
    const values = new Float64Array((await Page.blob(points.values)).buffer), table = {};
    [...NAMES, "mean_loss"].forEach((name, i) => {
      table[`:${name}`] = values.subarray(i * points.count, (i + 1) * points.count);
    });
    return (name) => table[`:${name}`];
  }
  const of = await columns(run.points), validated = await columns(run.validations);
  const x = { step: of("step"), tokens: of("tokens") };
  const validatedX = { step: validated("step"), tokens: validated("tokens") };
  const hasTokens = x.tokens.length > 0 && known(x.tokens[x.tokens.length - 1]);

  function duration(seconds) {
    if (!known(seconds)) return "–";
    if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();

  /* ---- How it stands ---- */

  const quoted = (text) => (/^[\w./+,:=@%-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);

  function standing() {
    const steps = known(figures.total) ? `step ${count(figures.step || 0)} of ${count(figures.total)}`
      : `step ${count(figures.step || 0)}`;
    const left = known(figures.left) && run.state === "running" ? `, about ${duration(figures.left)} left` : "";
    const words = { running: `${steps}${left}`, finished: `all ${count(figures.total)} steps`, stopped: `after ${steps}`,
      ended: `after ${steps}` }[run.state];
    const titles = { running: "Running", finished: "Finished", stopped: "Stopped", ended: "Not running" };
    return el("div", { class: "status" }, el("span", { class: `chip ${run.state}`, id: "state" }, titles[run.state]),
      el("span", {}, words),
      known(figures.total) && run.state !== "finished"
        ? el("progress", { value: figures.step || 0, max: Math.max(1, figures.total), "aria-label": "Steps done" }) : null,
      run.resumed.length ? el("span", { class: "quiet" }, `went on at step ${run.resumed.map(count).join(", ")}`) : null,
      run.state === "running" ? el("span", { class: "quiet", id: "fresh" }, `as of ${clock(run.written)}`) : null,
      run.state === "stopped" ? el("span", { class: "quiet" }, "go on: ",
        el("code", {}, `gradus train --out ${quoted(run.folder)} --resume auto`)) : null);
  }

  function tile(id, name, value, text, note) {
    return el("div", {}, el("dt", {}, name),
      el("dd", {}, el("data", { class: "figure", id, value: String(value) }, text),
        note ? el("div", { class: "quiet small" }, note) : null));
  }

  function tiles() {
    const all = [];
    if (known(figures.best))
      all.push(tile("best", "Best validation loss", figures.best, number(figures.best), `at step ${count(figures.best_step)}`));
    if (known(figures.perplexity))
      all.push(tile("perplexity", "Perplexity", figures.perplexity, number(figures.perplexity), "e to the best validation loss"));
    all.push(tile("last-loss", "Last loss", figures.loss, number(figures.loss), `smoothed ${number(figures.smoothed)}`));
    if (known(figures.val_loss))
      all.push(tile("last-validation", "Last validation loss", figures.val_loss, number(figures.val_loss), `at step ${count(figures.val_step)}`));
    all.push(tile("steps", "Steps", figures.step, count(figures.step), known(figures.total) ? `of ${count(figures.total)}` : null));
    if (known(figures.tokens)) all.push(tile("tokens", "Tokens", figures.tokens, brief(figures.tokens), "that were asked for"));
    if (known(figures.seconds)) all.push(tile("time", "Time in steps", figures.seconds, duration(figures.seconds), "without validation and saving"));
    if (known(figures.speed)) all.push(tile("speed", "Tokens a second", figures.speed, count(figures.speed), "over the last 50 steps"));
    return el("dl", { class: "tiles" }, all);
  }

  function notes() {
    const lines = run.faults.map(({ line, what }) => `metrics.jsonl, line ${line}: ${what}`);
    if (run.num_faults > run.faults.length) lines.push(`and ${count(run.num_faults - run.faults.length)} more lines with faults`);
    if (run.cut_off) lines.push("The last line of metrics.jsonl is cut off, as by a run that was killed; it is left out.");
    if (figures.not_finite > 0)
      lines.push(`${figures.not_finite === 1 ? "1 loss is" : `${count(figures.not_finite)} losses are`} not finite, marked red below: at step ${run.not_finite.slice(0, 8).map(count).join(", ")}` +
        (figures.not_finite > 8 ? ", ..." : ""));
    if (run.problem) lines.push(`config.json ${run.problem}: the options are not known`);
    if (!run.rows) lines.push("There is no step yet.");
    return lines.length ? el("section", { class: "card notes", "aria-label": "Notes" },
      el("ul", {}, lines.map((line) => el("li", {}, line)))) : null;
  }

  /* ---- Where all charts look ---- */

  const first = x.step.length ? x.step[0] : 0, last = x.step.length ? x.step[x.step.length - 1] : 1;
  const asNumber = (name) => { const value = parseFloat(Page.state.get(name, "")); return known(value) ? value : null; };
  const view = {
    axis: hasTokens && Page.state.get("x", "step") === "tokens" ? "tokens" : "step",
    from: asNumber("from"), to: asNumber("to"), cursor: null, busy: false, marks: [], charts: [], steps: x.step, first, last,
    xs() { return x[this.axis]; },
    x(i) { return x[this.axis][i]; },
    /* Along the axis; what is kept is steps, which mean the same on both. */
    at(step) { return this.axis === "step" || !x.step.length ? step : x.tokens[Chart.nearest(x.step, step)]; },
    range() {
      const from = this.at(this.from ?? first), to = this.at(this.to ?? last);
      return to > from ? [from, to] : [from, from + 1];
    },
    told(i) {
      if (!(i >= 0 && i < x.step.length)) return "no step";
      const { stride } = run.points, even = i - i % 2;
      const steps = stride > 1 ? `steps ${count(x.step[even])} to ${count(x.step[even + 1])}` : `step ${count(x.step[i])}`;
      return hasTokens ? `${steps}, ${count(x.tokens[i])} tokens` : steps;
    },
    look(i) {
      if (i === this.cursor || (i !== null && !x.step.length)) return;
      this.cursor = i;
      for (const chart of this.charts) chart.point();
    },
    setRange(from, to) {
      this.from = from !== null && from > first ? from : null;
      this.to = to !== null && to < last ? to : null;
      Page.state.set({ from: this.from, to: this.to });
      this.redraw();
    },
    /* Between two places on the axis. */
    zoomTo(from, to) {
      const step = (place) => x.step[Chart.nearest(this.xs(), place)];
      const a = step(from), b = step(to);
      if (b > a) this.setRange(a, b);
    },
    /* Around what is pointed at, or the middle. */
    zoom(factor) {
      const from = this.from ?? first, to = this.to ?? last;
      const centre = this.cursor === null ? (from + to) / 2 : x.step[this.cursor];
      const a = Math.max(first, Math.round(centre - (centre - from) * factor));
      const b = Math.min(last, Math.round(centre + (to - centre) * factor));
      if (b - a >= 2 || factor > 1) this.setRange(a, b);
    },
    whole() { this.setRange(null, null); },
    key(key, shift) {
      const end = x.step.length - 1, page = Math.max(1, Math.round(x.step.length / 10)), from = this.cursor ?? end;
      const moves = { ArrowLeft: shift ? -10 : -1, ArrowRight: shift ? 10 : 1, PageDown: -page, PageUp: page, Home: -Infinity, End: Infinity };
      if (key in moves) this.look(Math.max(0, Math.min(end, from + moves[key])));
      else if (key === "+" || key === "=") this.zoom(0.5);
      else if (key === "-") this.zoom(2);
      else if (key === "Escape" || key === "0") this.whole();
      else return false;
      return true;
    },
    redraw() { for (const chart of this.charts) chart.draw(); update(); },
  };
  for (const step of run.resumed) view.marks.push({ kind: "resumed", name: `went on at step ${step}`, x: () => view.at(step) });
  for (const step of run.not_finite) view.marks.push({ kind: "lost", name: `step ${step}: the loss is not finite`, x: () => view.at(step) });

  /* ---- Smoothing: the mean of the values before, each weighing e times less every `span` steps ---- */

  const defaultSpan = Math.max(3, Math.round((last - first) / 200));
  let span = asNumber("smooth") ?? defaultSpan;
  function smoothed(y) {
    const smooth = new Float64Array(y.length);
    let sum = 0, weight = 0;
    for (let i = 0; i < y.length; i++) {
      const keep = i ? Math.exp(-(x.step[i] - x.step[i - 1]) / span) : 0;
      sum *= keep;
      weight *= keep;
      if (known(y[i])) { sum += y[i]; weight += 1; }
      smooth[i] = weight > 0 ? sum / weight : NaN;
    }
    return smooth;
  }
  /* Remembered until the span is another: of each column's y. */
  let memory = new Map();
  function smooth(_, y) {
    if (span === 0) return null;
    if (!memory.has(y)) memory.set(y, smoothed(y));
    return memory.get(y);
  }
  /* In its place for as long as charts live: the smoothed losses. */
  const smoothLoss = new Float64Array(x.step.length);
  function smoothen() {
    memory = new Map();
    smoothLoss.set(span > 0 ? smoothed(of("mean_loss")) : of("mean_loss"));
  }
  smoothen();

  /* ---- The charts ---- */

  const best = known(figures.best) && { y: figures.best, name: `best: ${number(figures.best, 5)} at step ${figures.best_step}`,
    x: { step: figures.best_step, tokens: x.step.length ? x.tokens[Chart.nearest(x.step, figures.best_step)] : 0 } };

  /* Items of a list from one hue to another by their depth; what is beside them, each its own. */
  function layerCurves() {
    const items = run.layers.filter((name) => /\.\d+$/.test(name)), hues = [5, 3, 4, 1, 6, 7];
    let other = 0;
    return run.layers.map((name) => {
      const depth = items.indexOf(name), share = items.length > 1 ? 100 * depth / (items.length - 1) : 0;
      const colour = depth >= 0 ? `color-mix(in oklab, var(--hue-2) ${share}%, var(--hue-0))` : `var(--hue-${hues[other++ % hues.length]})`;
      return { key: name, name, x, y: of(name), smooth, colour, dash: depth < 0 };
    });
  }

  function makeCharts() {
    const losses = [{ key: "loss", name: "each step", x, y: of("loss"), colour: "var(--accent)", faint: true },
      { key: "smooth", name: "smoothed", x, y: smoothLoss, colour: "var(--accent)", strong: true }];
    if (validatedX.step.length)
      losses.push({ key: "validation", name: "validation", x: validatedX, y: validated("val_loss"), colour: "var(--hue-1)", dots: true, best });
    const norms = [{ key: "grad_norm", name: "all", x, y: of("grad_norm"), smooth, colour: "var(--ink)", strong: true }, ...layerCurves()];
    return [
      new Chart(view, { id: "loss", title: "Loss", curves: losses, height: 340 }),
      new Chart(view, { id: "norms", title: "Gradient norms", log: true, curves: norms, height: 300,
        note: "Before clipping: of all gradients, and of each layer's." }),
      new Chart(view, { id: "rate", title: "Learning rate", curves: [{ key: "lr", name: "lr", x, y: of("lr"), colour: "var(--hue-2)" }] }),
      new Chart(view, { id: "rates", title: "Tokens a second", digits: 5,
        curves: [{ key: "speed", name: "each step", x, y: of("tokens_per_second"), smooth, colour: "var(--hue-5)" }] }),
    ];
  }
  view.charts = makeCharts();

  /* ---- Controls ---- */

  const from = el("input", { type: "number", id: "from", min: first, max: last, step: 1, onchange: () => typed() });
  const to = el("input", { type: "number", id: "to", min: first, max: last, step: 1, onchange: () => typed() });
  function typed() {
    const [a, b] = [parseFloat(from.value), parseFloat(to.value)];
    if (known(a) && known(b) && b > a) view.setRange(a, b); else update();
  }
  const spanText = el("output", { for: "span" });
  /* The slider goes by powers: 0 to 100 is 1 to all steps. */
  const longest = Math.max(10, last - first);
  const slider = el("input", { type: "range", id: "span", min: 0, max: 100, value: span > 0 ? 100 * Math.log(span) / Math.log(longest) : 0, oninput: () => {
    span = Number(slider.value) === 0 ? 0 : Math.round(longest ** (slider.value / 100));
    Page.state.set({ smooth: span === defaultSpan ? null : span });
    smoothen();
    view.redraw();
  } });
  const axes = ["step", "tokens"].map((axis) => el("button", { class: "chip", disabled: axis === "tokens" && !hasTokens, "data-axis": axis,
    onclick: () => { view.axis = axis; Page.state.set({ x: axis === "step" ? null : axis }); view.redraw(); } }, axis === "step" ? "steps" : "tokens"));
  const all = el("button", { onclick: () => view.whole() }, "Whole run");
  function update() {
    from.value = view.from ?? first;
    to.value = view.to ?? last;
    all.disabled = view.from === null && view.to === null;
    for (const button of axes) button.setAttribute("aria-pressed", String(button.dataset.axis === view.axis));
    spanText.textContent = span > 0 ? `${count(span)} steps` : "off";
    slider.setAttribute("aria-valuetext", spanText.textContent);
    if (table.open) fillTable();
  }
  const controls = el("div", { class: "row controls screen-only", role: "group", "aria-label": "What the curves show" },
    el("span", { class: "row" }, axes), el("label", {}, "from ", from), el("label", {}, "to ", to),
    el("button", { onclick: () => view.zoom(0.5), "aria-label": "Zoom in" }, "+"),
    el("button", { onclick: () => view.zoom(2), "aria-label": "Zoom out" }, "−"), all,
    el("label", {}, "smoothing ", slider, spanText));

  /* ---- As tables ---- */

  const MOST = 60;
  const tableOf = (caption, names, rows) => el("div", { class: "wide", tabindex: "0" }, el("table", { class: "figures" },
    el("caption", { class: "hidden-visually" }, caption),
    el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, i) =>
      el(i ? "td" : "th", i ? {} : { scope: "row" }, el("data", { value: String(value) }, i < 2 ? count(value) : digits(value, 6)))))))));

  /* At most so many of the rows that are looked at, the last one among them. */
  function sampled(columns, steps) {
    const begin = Chart.lowerBound(steps, view.from ?? first), end = Chart.lowerBound(steps, (view.to ?? last) + 1);
    const stride = Math.max(1, Math.ceil((end - begin) / MOST)), rows = [];
    for (let i = end - 1; i >= begin; i -= stride) rows.unshift(columns.map((column) => column[i]));
    return rows;
  }
  const table = el("details", { class: "card folding", ontoggle: () => { if (table.open) fillTable(); } }, el("summary", {}, "As tables"));
  function fillTable() {
    const names = NAMES.filter((name) => name !== "val_loss");
    const parts = [el("p", { class: "quiet" }, `At most ${MOST} rows of what the curves show.`),
      el("h3", {}, "Steps"), tableOf("Figures by step", names, sampled(names.map(of), x.step))];
    if (validatedX.step.length)
      parts.push(el("h3", {}, "Validations"), tableOf("Validation loss by step", ["step", "tokens", "val_loss"],
        sampled(["step", "tokens", "val_loss"].map(validated), validatedX.step)));
    table.replaceChildren(table.firstChild, ...parts);
  }

  function saveCsv() {
    const quote = (name) => (/[",\n]/.test(name) ? `"${name.replace(/"/g, '""')}"` : name), all = NAMES.map(of);
    const lines = [NAMES.map(quote).join(",")];
    for (let i = 0; i < x.step.length; i++) lines.push(all.map((column) => (known(column[i]) ? column[i] : "")).join(","));
    Page.save(`${document.title}.csv`, new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
  }

  const options = () => (run.options.length ? el("section", { class: "card" }, el("h2", {}, "Options"),
    el("dl", { class: "options" }, run.options.map(([name, value]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, value === null ? "–" : String(value)))))) : null);

  /* ---- The page ---- */

  for (const chart of view.charts.slice(0, 2)) chart.element.classList.add("across");
  main.replaceChildren(standing(), tiles(), ...[notes()].filter(Boolean), controls,
    el("div", { class: "charts" }, view.charts.map((chart) => chart.element)),
    el("p", { class: "quiet" }, "Drag across a chart to look closer, double click to see all; on the keyboard: ",
      ["←", "→", "+", "−", "Esc"].map((key) => [el("kbd", {}, key), " "]),
      run.points.stride > 1 ? `Each pair of points holds the least and the largest of ${run.points.stride} steps.` : ""),
    el("div", { class: "row" }, el("button", { onclick: saveCsv, class: "screen-only" }, "Save as CSV")), el("p"), table,
    ...[options()].filter(Boolean));
  update();
  for (const chart of view.charts) chart.draw();

  /* ---- While it runs: the page that is there by then is shown, and looks at the same place ---- */

  const place = Page.state.get("place", null);
  if (place !== null) {
    const [y, focus, cursor] = place.split("|");
    Page.state.set({ place: null });
    scrollTo(0, Number(y));
    const focused = focus && document.getElementById(focus);
    if (focused) focused.focus({ preventScroll: true });
    if (focused && cursor) view.look(Chart.nearest(x.step, Number(cursor)));
    table.open = place.endsWith("|open");
  }
  function reload() {
    if (view.busy || document.activeElement.type === "number") { setTimeout(reload, 1000); return; }
    const focus = document.activeElement.id || "", cursor = view.cursor === null ? "" : x.step[view.cursor];
    Page.state.set({ place: [Math.round(scrollY), focus, cursor, table.open ? "open" : ""].join("|") });
    location.reload();
  }
  if (run.state === "running" && Page.real(run.refresh) > 0) {
    const refresh = Page.real(run.refresh), age = Date.now() / 1000 - run.written, stale = age > Math.max(30, 6 * refresh);
    if (stale) {
      const fresh = document.getElementById("fresh");
      fresh.textContent = `No news since ${clock(run.written)}. If the run was killed, "gradus view run ${quoted(run.folder)}" knows.`;
      fresh.className = "warn";
    }
    setTimeout(reload, 1000 * (stale ? 30 : Math.max(1, refresh)));
  }
  document.documentElement.dataset.ready = "true";
})();
