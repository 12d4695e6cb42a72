"use strict";
/* The page: what is looked at, its controls, and the parts that draw it. */
(() => {
  const { el, number } = Page, { layers } = Attention;
  const main = document.getElementById("main");
  const started = performance.now();

  /* ---- What is looked at, kept in the address ---- */

  const whole = (name, fallback, count) => {
    const x = Number(Page.state.get(name, fallback));
    return Number.isInteger(x) && x >= 0 && x < count ? x : fallback;
  };
  const among = (name, all) => {
    const chosen = Page.state.get(name, all[0]);
    return all.includes(chosen) ? chosen : all[0];
  };
  const listed = (name, count) => {
    const text = Page.state.get(name, null), all = Array.from({ length: count }, (_, i) => i);
    const chosen = text === null ? all : all.filter((i) => text.split(".").includes(String(i)));
    return new Set(chosen.length ? chosen : all);
  };

  const views = ["map", "lines", "neuron"];
  const first = Page.data.open || {};
  const s = { sample: 0, layer: 0, head: 0, view: "map", show: "weights", query: null, key: null, zoom: 0, least: null,
    table: false, all: false, pins: [], layers: null, heads: null };

  function restore() {
    s.sample = whole("sample", first.sample || 0, Attention.samples);
    s.layer = whole("layer", first.layer || 0, layers.length);
    s.head = whole("head", first.head || 0, layers[s.layer].heads);
    s.view = among("view", views);
    s.show = among("show", ["weights", "uniform", ...(hasBaseline() ? ["baseline"] : [])]);
    s.query = Page.state.get("query", null) === null ? null : whole("query", 0, layer().queries);
    s.key = s.query === null ? null : whole("key", 0, layer().keys);
    s.layers = listed("layers", layers.length);
    s.heads = listed("heads", Attention.heads);
    s.pins = (Page.state.get("pins", "") || "").split(".").map(unpinned).filter(Boolean);
  }

  function remember() {
    const some = (set, count) => set.size === count ? null : [...set].join(".");
    Page.state.set({ sample: s.sample || null, layer: s.layer, head: s.head, view: s.view === "map" ? null : s.view,
      show: s.show === "weights" ? null : s.show, query: s.query, key: s.key, layers: some(s.layers, layers.length),
      heads: some(s.heads, Attention.heads), pins: s.pins.map((pin) => Object.values(pin).join("-")).join(".") });
  }

  const layer = () => layers[s.layer];
  const hasBaseline = () => layers.some((l) => l.told.baseline);
  const title = () => `${layer().name}, head ${s.head}` + (Attention.samples > 1 ? `, sample ${s.sample}` : "");

  /* ---- Pins: cells that stay ---- */

  function unpinned(text) {
    const [l, sample, head, query, key] = text.split("-").map(Number), of = layers[l];
    return of && sample < of.samples && head < of.heads && query < of.queries && key < of.keys && text.split("-").length === 5
      ? { layer: l, sample, head, query, key } : null;
  }

  const same = (a, b) => Object.keys(a).every((name) => a[name] === b[name]);

  function pin() {
    if (s.query === null) return;
    const cell = { layer: s.layer, sample: s.sample, head: s.head, query: s.query, key: s.key };
    const known = s.pins.some((p) => same(p, cell));
    s.pins = known ? s.pins.filter((p) => !same(p, cell)) : [...s.pins, cell];
    Page.say(known ? "Unpinned" : `Pinned: ${spoken(cell)}`);
    drawPins();
    remember();
  }

  function unpin() {
    s.pins.pop();
    drawPins();
    remember();
  }

  const spoken = ({ layer: l, sample, head, query, key }) => {
    const of = layers[l], weight = of.format(of.weight(sample, head, query, key));
    return `${of.queryName(sample, query)} to ${of.keyName(sample, key)}: ` +
      (of.isLeak(sample, head, query, key) ? `masked, but weight ${weight}` : of.sees(sample, head, query, key) ? weight : "masked");
  };

  function drawPins() {
    parts.pins.replaceChildren(...s.pins.map((p, n) => el("li", null,
      el("button", { type: "button", class: "link", onclick: () => go(p.layer, p.sample, p.head, p.query, p.key) },
        `${layers[p.layer].name} · head ${p.head}` + (Attention.samples > 1 ? ` · sample ${p.sample}` : "")),
      " ", el("bdi", null, spoken(p)), " ",
      el("button", { type: "button", class: "remove", "aria-label": `Remove pin ${n + 1}`, onclick: () => {
        s.pins.splice(n, 1);
        drawPins();
        remember();
      } }, "×"))));
    parts.pinsTitle.hidden = s.pins.length === 0;
  }

  /* ---- The inspector ---- */

  function figure(name, value, kind) {
    return [el("dt", null, name), el("dd", { class: kind || null }, value)];
  }

  function comparison(l, weight) {
    const { sample, head, query, key } = { ...s }, uniform = l.uniform(sample, head, query, key), seen = l.seen(sample, head, query);
    const rows = [figure(`uniform over ${seen} visible ${seen === 1 ? "key" : "keys"}`, l.format(uniform)),
      figure("difference to it", (weight > uniform ? "+" : "") + l.format(weight - uniform))];
    if (l.other) {
      const change = l.value("baseline", sample, head, query, key);
      rows.push(figure(`difference to ${Page.data.baseline}`, (change > 0 ? "+" : "") + l.format(change)));
    }
    return rows;
  }

  /* The keys that this query gives most, as figures and bars. */
  function rowTable(l) {
    const row = l.row("weights", s.sample, s.head, s.query), order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 6);
    return el("table", { class: "figures row-table" },
      el("caption", { class: "small quiet" }, "Where this query looks most"),
      el("thead", { class: "hidden-visually" }, el("tr", null, el("th", { scope: "col" }, "key"), el("td"), el("th", { scope: "col" }, "weight"))),
      el("tbody", null, order.map((j) => el("tr", { class: j === s.key ? "chosen" : null },
        el("th", { scope: "row" }, el("bdi", null, Attention.short(l.keyLabel(s.sample, j), 16)), el("span", { class: "quiet" }, ` ${j}`)),
        el("td", null, Paint.bar(row[j], 56)), el("td", null, l.format(row[j]))))));
  }

  function inspect() {
    const l = layer();
    if (s.query === null) {
      parts.inspector.replaceChildren(el("p", { class: "quiet" }, "Point at a cell, or move with the arrow keys. Click or press Enter to pin it."));
      return;
    }
    const { sample, head, query, key } = s, weight = l.weight(sample, head, query, key);
    const leak = l.isLeak(sample, head, query, key), sees = l.sees(sample, head, query, key), blind = l.seen(sample, head, query) === 0;
    const row = l.row("weights", sample, head, query), above = row.filter((x) => x > weight).length;
    parts.inspector.replaceChildren(
      el("p", { class: "pair" }, el("bdi", null, l.queryName(sample, query)), el("span", { "aria-hidden": "true" }, " → "),
        el("span", { class: "hidden-visually" }, " to "), el("bdi", null, l.keyName(sample, key))),
      el("p", { class: leak ? "weight bad" : "weight" }, l.format(weight)),
      el("p", { class: "small " + (leak ? "bad" : "quiet") }, leak ? "The mask leaves this pair out, and yet it has weight: a leak."
        : blind ? "This query sees no key at all." : sees ? l.precision : "Left out by the mask: 0."),
      el("dl", { class: "facts" }, sees ? [comparison(l, weight), figure("place in its row", `${above + 1} of ${l.seen(sample, head, query)}`)] : null,
        figure("sum of the row", number(row.reduce((a, b) => a + b, 0), 5))),
      rowTable(l));
  }

  /* ---- The overview ---- */

  const BLOCK = 128; /* thumbnails are at most so many pixels wide before they are scaled */
  const thumbs = new Map();

  function thumb(l, head) {
    const canvas = el("canvas", { "aria-hidden": "true" });
    const button = el("button", { type: "button", class: "thumb", tabindex: -1, "data-layer": l.number, "data-head": head,
      "aria-label": `Open ${l.name}, head ${head}`, onclick: () => open(l.number, head) },
    canvas, el("span", { class: "thumb-name" }, el("span", { class: `swatch hue-${head % 8}`, "aria-hidden": "true" }), el("span", { class: "word-head" }, "head"), String(head)));
    thumbs.set(`${l.number}-${head}`, { button, canvas, l, head });
    return el("div", { role: "gridcell", "data-head": head }, button);
  }

  function paintThumb({ canvas, l, head }) {
    const block = Math.ceil(Math.max(l.keys, l.queries) / BLOCK);
    const raster = Paint.raster(l, s.show, s.sample, head, l.matrix(s.show, s.sample, head), block);
    canvas.width = raster.width, canvas.height = raster.height;
    canvas.getContext("2d").drawImage(raster, 0, 0);
  }

  /* Those that are in sight first; the rest when there is time. */
  function paintThumbs() {
    const visible = [...thumbs.values()].filter(({ l, head }) => s.layers.has(l.number) && s.heads.has(head));
    const paint = (from) => {
      const until = performance.now() + 60;
      let n = from;
      while (n < visible.length && performance.now() < until) paintThumb(visible[n++]);
      if (n < visible.length) setTimeout(paint, 0, n);
      else document.documentElement.dataset.painted = Math.round(performance.now() - started);
    };
    paint(0);
  }

  function showChosen() {
    for (const { button, l, head } of thumbs.values()) {
      const chosen = l.number === s.layer && head === s.head;
      button.classList.toggle("chosen", chosen);
      button.setAttribute("aria-current", chosen ? "true" : "false");
      button.tabIndex = chosen ? 0 : -1;
    }
    for (const row of parts.grid.children) row.hidden = !s.layers.has(+row.dataset.layer);
    for (const cell of parts.grid.querySelectorAll('[role="gridcell"]')) cell.hidden = !s.heads.has(+cell.dataset.head);
    if (!s.layers.has(s.layer) || !s.heads.has(s.head)) {
      const seen = [...thumbs.values()].find(({ l, head }) => s.layers.has(l.number) && s.heads.has(head));
      if (seen) seen.button.tabIndex = 0;
    }
  }

  function gridKeys(event) {
    const from = event.target.closest(".thumb");
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!from || (!step && event.key !== "Home" && event.key !== "End")) return;
    event.preventDefault();
    const rows = layers.filter((l) => s.layers.has(l.number)).map((l) => [...s.heads].filter((h) => h < l.heads).sort((a, b) => a - b));
    const numbers = layers.filter((l) => s.layers.has(l.number)).map((l) => l.number);
    let y = numbers.indexOf(+from.dataset.layer), x = rows[y].indexOf(+from.dataset.head);
    if (step) y = Math.min(Math.max(y + step[0], 0), rows.length - 1), x += step[1];
    x = event.key === "Home" ? 0 : event.key === "End" ? Infinity : x;
    x = Math.min(Math.max(x, 0), rows[y].length - 1);
    const to = thumbs.get(`${numbers[y]}-${rows[y][x]}`).button;
    from.tabIndex = -1, to.tabIndex = 0;
    to.focus();
  }

  function overview() {
    parts.grid = el("div", { role: "grid", class: "overview", "aria-label": "Heads by layer: Enter opens one" },
      layers.map((l) => el("div", { role: "row", class: "layer-row", "data-layer": l.number },
        el("div", { role: "rowheader", class: "layer-name" }, l.name, el("span", { class: "quiet small" }, ` ${l.queries} × ${l.keys}`)),
        Array.from({ length: l.heads }, (_, head) => thumb(l, head)))));
    parts.grid.addEventListener("keydown", gridKeys);
    return el("section", { class: "card", "aria-labelledby": "overview-title" }, el("h2", { id: "overview-title" }, "All heads"),
      el("div", { class: "wide" }, parts.grid));
  }

  /* ---- Controls ---- */

  function pressed(button, on) {
    button.setAttribute("aria-pressed", on ? "true" : "false");
  }

  /* Toggles one of a set, but never the last one off; twice in a row: this one alone, or all. */
  function toggle(set, i, count, alone) {
    if (alone) {
      const single = set.size === 1 && set.has(i);
      set.clear();
      for (let n = 0; n < count; n++) if (single || n === i) set.add(n);
    } else if (!set.has(i)) {
      set.add(i);
    } else if (set.size > 1) {
      set.delete(i);
    } else {
      Page.say("The last one stays");
    }
  }

  function chips(name, set, count, label, changed) {
    const buttons = Array.from({ length: count }, (_, i) => {
      const button = el("button", { type: "button", class: "chip", title: "Double click, or Shift and Enter: this one alone" }, label(i));
      const act = (alone) => {
        toggle(set(), i, count, alone);
        buttons.forEach((b, n) => pressed(b, set().has(n)));
        changed();
      };
      button.addEventListener("click", (event) => act(event.shiftKey || event.detail === 2));
      return button;
    });
    buttons.forEach((b, n) => pressed(b, set().has(n)));
    return el("div", { class: "row chips", role: "group", "aria-label": name }, el("span", { class: "quiet small" }, name), buttons);
  }

  function choices(name, options, chosen, choose) {
    const buttons = options.map(([value, text]) => el("button", { type: "button", class: "chip", "data-value": value, onclick: () => {
      buttons.forEach((b) => pressed(b, b.dataset.value === value));
      choose(value);
    } }, text));
    buttons.forEach((b) => pressed(b, b.dataset.value === chosen));
    return el("div", { class: "row chips", role: "group", "aria-label": name }, el("span", { class: "quiet small" }, name), buttons);
  }

  function samplePicker() {
    if (Attention.samples < 2) return null;
    const select = el("select", { "aria-label": "Sample", onchange: () => {
      s.sample = +select.value;
      redraw();
      paintThumbs();
    } }, Array.from({ length: Attention.samples }, (_, b) => el("option", { value: b }, sampleName(b))));
    select.value = s.sample;
    parts.sample = select;
    return el("label", { class: "row chips" }, el("span", { class: "quiet small" }, "Sample"), select);
  }

  function sampleName(b) {
    const l = layers[0], texts = l.queryText(b, 0) === null ? null : Array.from({ length: Math.min(l.queries, 24) }, (_, i) => l.queryText(b, i));
    return `${b}` + (texts ? ": " + Attention.short(texts.join(texts.every((t) => [...t].length === 1) ? "" : " "), 28) : "");
  }

  const shows = () => [["weights", "weights"], ["uniform", "difference to uniform"],
    ...(hasBaseline() ? [["baseline", `difference to ${Page.data.baseline}`]] : [])];

  function controls() {
    const changed = () => { showChosen(); paintThumbs(); drawView(); remember(); };
    return el("section", { class: "controls", "aria-label": "What is shown" },
      samplePicker(),
      layers.length > 1 ? chips("Layers", () => s.layers, layers.length, (i) => String(i), changed) : null,
      Attention.heads > 1 ? chips("Heads", () => s.heads, Attention.heads,
        (i) => [el("span", { class: `swatch hue-${i % 8}`, "aria-hidden": "true" }), String(i)], changed) : null,
      choices("Show", shows(), s.show, (value) => { s.show = value; redraw(); paintThumbs(); }));
  }

  /* ---- One head, three ways ---- */

  let map = null, lines = null;
  const mapView = () => ({ layer: layer(), sample: s.sample, head: s.head, show: s.show, zoom: s.zoom,
    get query() { return s.query; }, get key() { return s.key; } });
  const lineView = () => ({ layer: layer(), sample: s.sample, show: s.show, least: s.least, width: parts.panel.clientWidth,
    heads: [...s.heads].filter((h) => h < layer().heads).sort((a, b) => a - b) });

  function look(query, key, spoke) {
    s.query = query, s.key = key;
    inspect();
    remember();
    if (spoke) Page.say(spoken({ layer: s.layer, sample: s.sample, head: s.head, query, key }));
  }

  function drawMap(panel) {
    map = Attention.map = HeatMap.create(mapView(), { look, pin, unpin });
    const zoom = (by) => { s.zoom = Math.min(Math.max(s.zoom + by, -2), 4); drawView(); };
    const legend = el("div");
    panel.append(el("div", { class: "split" }, el("div", { class: "picture" },
      el("p", { id: "map-help", class: "hidden-visually" }, "Arrow keys move, Enter pins, Escape takes the last pin away."),
      map.element, legend,
      el("p", { class: "row screen-only" },
        el("button", { type: "button", "aria-label": "Smaller cells", onclick: () => zoom(-1) }, "−"),
        el("button", { type: "button", "aria-label": "Larger cells", onclick: () => zoom(1) }, "+"),
        layer().queries * layer().keys <= 4096 ? el("button", { type: "button", "aria-expanded": s.table ? "true" : "false", onclick: () => {
          s.table = !s.table;
          drawView();
        } }, s.table ? "Hide the table" : "As a table") : null)),
    el("aside", { class: "side", "aria-label": "Inspector" }, parts.inspector)));
    if (s.table && layer().queries * layer().keys <= 4096) panel.append(el("div", { class: "wide" }, HeatMap.toTable(mapView())));
    map.draw();
    legend.replaceChildren(map.legend());
    inspect();
  }

  function drawLines(panel) {
    if (s.least === null) s.least = HeadLines.fitting(lineView());
    lines = HeadLines.create(lineView(), { look: (side, at) => {
      if (side === "query") s.query = at, s.key ??= 0;
      remember();
    } });
    const words = () => `lines of at least ${number(s.least, 2)}: ${Math.min(lines.count(), HeadLines.most)}` +
      (lines.count() > HeadLines.most ? ` of ${lines.count()}, the strongest` : "");
    const output = el("output", { class: "quiet small" }, words());
    const slider = el("input", { type: "range", min: .01, max: .9, step: .01, value: s.least, "aria-label": "Least weight of a line", oninput: () => {
      s.least = +slider.value;
      const fresh = HeadLines.create(lineView(), { look: () => {} });
      lines.element.replaceWith(fresh.element);
      lines = fresh;
      output.textContent = words();
    } });
    panel.append(el("p", { class: "row screen-only" }, slider, output),
      el("p", { class: "quiet small" }, "Queries left, keys right. Point at a token, or walk with the arrow keys, to see only its lines with the heads' numbers."),
      lines.element);
  }

  function drawNeuron(panel) {
    const l = layer(), i = s.query ?? l.queries - 1;
    const select = el("select", { "aria-label": "Query", onchange: () => { s.query = +select.value; s.key ??= 0; drawView(); remember(); } },
      Array.from({ length: l.queries }, (_, n) => el("option", { value: n }, l.queryName(s.sample, n))));
    select.value = i;
    const step = (by) => () => { s.query = Math.min(Math.max(i + by, 0), l.queries - 1); s.key ??= 0; drawView(); remember(); };
    panel.append(el("p", { class: "row screen-only" }, el("button", { type: "button", "aria-label": "Query before", onclick: step(-1) }, "‹"), select,
      el("button", { type: "button", "aria-label": "Next query", onclick: step(1) }, "›")));
    const slot = el("div");
    panel.append(slot);
    l.loadVectors().then(() => slot.replaceChildren(
      Neurons.create(mapView(), i, s.all, () => { s.all = !s.all; drawView(); })));
  }

  const drawers = { map: drawMap, lines: drawLines, neuron: drawNeuron };
  const names = { map: "Heatmap", lines: "Head view", neuron: "Neuron view" };

  function drawView() {
    parts.panel.replaceChildren();
    parts.panel.setAttribute("aria-labelledby", `tab-${s.view}`);
    parts.heading.textContent = s.view === "lines" ? layer().name : `${layer().name} · head ${s.head}`;
    for (const tab of parts.tabs.children) {
      const on = tab.dataset.view === s.view;
      tab.setAttribute("aria-selected", on ? "true" : "false");
      tab.tabIndex = on ? 0 : -1;
    }
    map = lines = null;
    drawers[s.view](parts.panel);
  }

  function tabKeys(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(views[(views.indexOf(s.view) + step + views.length) % views.length]);
    document.getElementById(`tab-${s.view}`).focus();
  }

  function choose(view) {
    s.view = view;
    drawView();
    remember();
  }

  async function saved(kind) {
    const name = `attention-layer${s.layer}-head${s.head}-${s.view}`, l = layer();
    if (s.view === "neuron") await l.loadVectors();
    if (s.view === "neuron" && !l.query) return Page.say("There is nothing to save");
    const i = s.query ?? l.queries - 1, what = { map: [HeatMap, [mapView()]], lines: [HeadLines, [lineView()]],
      neuron: [Neurons, [mapView(), i]] }[s.view];
    const heading = title() + (s.show === "weights" || s.view === "neuron" ? "" : ", " + shows().find(([show]) => show === s.show)[1]);
    if (kind === "csv") Paint.saveCsv(name, what[0].toCsv(...what[1]));
    else if (kind === "svg") Paint.saveSvg(name, what[0].toSvg(...what[1], heading));
    else await Paint.savePng(name, what[0].toSvg(...what[1], heading));
    Page.say(`Saved ${name}.${kind}`);
  }

  function detail() {
    parts.heading = el("h2", { id: "detail-title", tabindex: -1 });
    parts.tabs = el("div", { role: "tablist", class: "row tabs", "aria-label": "View" }, views.map((view) => el("button",
      { type: "button", role: "tab", id: `tab-${view}`, "data-view": view, "aria-controls": "panel", onclick: () => choose(view) }, names[view])));
    parts.tabs.addEventListener("keydown", tabKeys);
    parts.panel = el("div", { role: "tabpanel", id: "panel" });
    parts.inspector = el("div", { class: "inspector" });
    parts.pins = el("ul", { class: "pins" });
    parts.pinsTitle = el("h3", { hidden: true }, "Pinned");
    const save = ["svg", "png", "csv"].map((kind) => el("button", { type: "button", onclick: () => saved(kind) }, kind.toUpperCase()));
    return el("section", { class: "card detail", "aria-labelledby": "detail-title" },
      el("div", { class: "row between" }, parts.heading, el("div", { class: "row screen-only", role: "group", "aria-label": "Save what is seen" },
        el("span", { class: "quiet small" }, "Save"), save)),
      parts.tabs, parts.panel, parts.pinsTitle, parts.pins);
  }

  /* ---- Going somewhere ---- */

  function open(l, head) {
    s.layer = l, s.head = head;
    s.query = s.query === null ? null : Math.min(s.query, layer().queries - 1);
    s.key = s.key === null ? null : Math.min(s.key, layer().keys - 1);
    redraw();
    parts.heading.scrollIntoView({ block: "nearest", behavior: Page.calm() ? "auto" : "smooth" });
    Page.say(`Opened ${title()}`);
  }

  function go(l, sample, head, query, key) {
    Object.assign(s, { sample, query, key, view: "map" });
    if (parts.sample) parts.sample.value = sample;
    open(l, head);
    paintThumbs();
  }

  function redraw() {
    showChosen();
    drawView();
    drawPins();
    remember();
  }

  const parts = {};

  function about() {
    const lines = Page.data.about || [];
    return lines.length ? el("p", { class: "quiet about" }, lines.map((line, n) => [n ? " · " : "", el("span", null, line)])) : null;
  }

  async function start() {
    await Attention.load();
    performance.measure("attention: numbers", { start: started });
    restore();
    main.replaceChildren(...[about(), Tables.verdicts(layers, go), controls(), overview(), detail(),
      Tables.scores(layers, (l, head) => open(l, head)), Tables.caution(layers), Tables.help()].filter(Boolean));
    redraw();
    performance.measure("attention: ready", { start: started });
    document.documentElement.dataset.ready = Math.round(performance.now());
    paintThumbs();
    Page.onTheme(() => { drawView(); paintThumbs(); });
    addEventListener("hashchange", () => { /* of the reader's own: the page's do not come here */
      restore();
      main.querySelector(".controls").replaceWith(controls());
      redraw();
      paintThumbs();
    });
    let width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) width = innerWidth, drawView(); });
  }

  start();
})();
