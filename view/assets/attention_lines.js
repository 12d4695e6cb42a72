"use strict";
/* The heads of a layer as lines: query tokens left, key tokens right, as strong as the weight. A
 * head is a hue and its number. */
const HeadLines = (() => {
  const MOST = 3000; /* lines that a browser moves with ease */

  /* Where tokens end and begin, in so much width. */
  function geometry(width) {
    const wide = Math.max(330, Math.min(940, width)), narrow = wide < 520;
    return { wide, left: narrow ? 92 : 180, right: narrow ? wide - 100 : wide - 360, token: narrow ? 60 : 116 };
  }

  const hue = (head) => `var(--hue-${head % 8})`;
  const rowHeight = (layer) => Math.max(layer.queries, layer.keys) > 128 ? 15 : 20;

  /* Weights of the shown heads that are at least `least`, the strongest first. */
  function linesOf(view, least) {
    const { layer, sample } = view, lines = [];
    for (const head of view.heads) {
      const { values, looks } = layer.matrix(view.show, sample, head);
      for (let n = 0; n < values.length; n++) {
        const weight = Math.abs(values[n]), leak = looks[n] === 2;
        if (weight >= least || leak) lines.push({ head, i: Math.floor(n / layer.keys), j: n % layer.keys, weight, leak });
      }
    }
    return lines.sort((a, b) => b.leak - a.leak || b.weight - a.weight);
  }

  /* The same of one token, without looking at the others. */
  function linesFrom(view, token) {
    const { layer, sample } = view, query = token.side === "query", lines = [];
    for (const head of view.heads)
      for (let n = 0; n < (query ? layer.keys : layer.queries); n++) {
        const [i, j] = query ? [token.at, n] : [n, token.at];
        lines.push({ head, i, j, weight: Math.abs(layer.value(view.show, sample, head, i, j)),
          leak: layer.isLeak(sample, head, i, j) });
      }
    return lines;
  }

  /* The least threshold of these at which the lines are not too many. */
  function fitting(view) {
    const steps = [.01, .02, .05, .1, .2, .3, .5], counts = steps.map(() => 0), { layer, sample } = view;
    for (const head of view.heads)
      for (const x of layer.matrix(view.show, sample, head).values)
        for (let n = 0; n < steps.length && Math.abs(x) >= steps[n]; n++) counts[n]++;
    const n = counts.findIndex((count) => count <= MOST);
    return n < 0 ? steps.at(-1) : steps[n];
  }

  /* Heads run side by side, so that none hides another. */
  function path(line, at) {
    const rank = at.heads.indexOf(line.head) - (at.heads.length - 1) / 2, aside = rank * Math.min(2.5, (at.height - 6) / at.heads.length);
    const y = (i) => ((i + .5) * at.height + aside).toFixed(1), bend = (at.right - at.left) / 2;
    return `M${at.left} ${y(line.i)}C${at.left + bend} ${y(line.i)} ${at.right - bend} ${y(line.j)} ${at.right} ${y(line.j)}`;
  }

  function drawLine(line, at, resolve) {
    return Page.svg("path", { d: path(line, at), fill: "none", class: line.leak ? "line leak" : "line",
      stroke: resolve(line.leak ? "var(--bad)" : hue(line.head)), "stroke-width": line.leak ? 3 : (.8 + 1.4 * line.weight).toFixed(2),
      "stroke-opacity": line.leak ? 1 : Math.min(1, Math.max(.08, line.weight)).toFixed(3),
      "stroke-dasharray": line.leak ? "6 3" : null });
  }

  const as = (css) => css;
  const resolved = (css) => Page.colour(css.slice(6, -1));

  /* Beside a token that is linked to the one looked at: squares of the heads, with number and weight. */
  function drawShares(view, token, at) {
    const { layer, sample } = view, few = at.wide < 520 ? 1 : 4, side = token.side === "query" ? "key" : "query", marks = [];
    const count = side === "key" ? layer.keys : layer.queries;
    for (let n = 0; n < count; n++) {
      const pair = side === "key" ? [token.at, n] : [n, token.at];
      const shown = view.heads.map((head) => ({ head, weight: layer.value(view.show, sample, head, ...pair) }))
        .filter(({ weight }) => Math.abs(weight) >= .02).sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight)).slice(0, few);
      shown.forEach(({ head, weight }, k) => marks.push(Page.svg("text", {
        x: side === "key" ? at.right + at.token + k * 54 : 4 + k * 54, y: (n + .5) * at.height + 4, fill: hue(head), class: "share",
        "font-weight": 600 }, `${head}: ${Page.number(weight, 2)}`)));
    }
    return marks;
  }

  /* view: {layer, sample, heads, show, least, query, key}; on: {look(side, position)}. */
  function create(view, on) {
    const { layer, sample } = view, height = rowHeight(layer), at = { ...geometry(view.width), height, heads: view.heads };
    const tall = Math.max(layer.queries, layer.keys) * height;
    const lines = Page.svg("g", { class: "lines" }), shares = Page.svg("g", { class: "shares" });
    const texts = Page.svg("g", { class: "tokens" });
    const svg = Page.svg("svg", { width: at.wide, height: tall, viewBox: `0 0 ${at.wide} ${tall}`, class: "head-lines",
      role: "group", "aria-label": `Lines of ${layer.name} from queries on the left to keys on the right` },
    lines, shares, texts);
    const frame = Page.el("div", { class: "wide tall" }, svg);
    let told = null, all = [];

    function drawAll() {
      all = linesOf(view, view.least);
      lines.replaceChildren(...all.slice(0, MOST).map((line) => drawLine(line, at, as)));
      isolate(null);
    }

    /* Only the lines of one token, all of them; null: of all tokens. */
    function isolate(token) {
      told = token;
      svg.classList.toggle("isolated", token !== null);
      for (const mark of texts.children)
        mark.classList.toggle("chosen", token !== null && mark.dataset.side === token.side && +mark.dataset.at === token.at);
      if (!token) {
        shares.replaceChildren();
        return;
      }
      const own = linesFrom(view, token).filter((line) => line.weight >= .003 || line.leak);
      shares.replaceChildren(...own.map((line) => drawLine(line, at, as)), ...drawShares(view, token, at));
    }

    function token(side, n) {
      const query = side === "query", name = query ? layer.queryName(sample, n) : layer.keyName(sample, n);
      const text = Attention.short(query ? layer.queryLabel(sample, n) : layer.keyLabel(sample, n), at.wide < 520 ? 8 : query ? 18 : 11);
      const blind = query && view.heads.every((head) => layer.seen(sample, head, n) === 0);
      const mark = Page.svg("g", { class: blind ? "token blind" : "token", tabindex: n === 0 && query ? 0 : -1, role: "button",
        "aria-label": blind ? name + ", sees nothing" : name, "data-side": side, "data-at": n },
      Page.svg("rect", { x: query ? 0 : at.right + 2, y: n * height, width: query ? at.left - 2 : at.token - 6, height, rx: 4 }),
      Page.svg("text", { x: query ? at.left - 10 : at.right + 10, y: (n + .5) * height + 4,
        "text-anchor": query ? "end" : "start" }, blind ? text + " ∅" : text));
      const look = () => { isolate({ side, at: n }); on.look(side, n); };
      mark.addEventListener("pointerenter", look);
      mark.addEventListener("focus", look);
      mark.addEventListener("click", look);
      return mark;
    }

    const find = (side, n) => texts.querySelector(`[data-side="${side}"][data-at="${n}"]`);

    function step(event) {
      const from = event.target.closest?.(".token");
      if (!from) return;
      const { side } = from.dataset, n = +from.dataset.at, count = side === "query" ? layer.queries : layer.keys;
      const next = { ArrowUp: [side, n - 1], ArrowDown: [side, n + 1], Home: [side, 0], End: [side, count - 1],
        ArrowLeft: ["query", Math.min(n, layer.queries - 1)], ArrowRight: ["key", Math.min(n, layer.keys - 1)] }[event.key];
      if (event.key === "Escape") isolate(null);
      const to = next && find(...next);
      if (!to) return;
      event.preventDefault();
      from.setAttribute("tabindex", -1);
      to.setAttribute("tabindex", 0);
      to.focus();
    }

    texts.append(...Array.from({ length: layer.queries }, (_, i) => token("query", i)),
      ...Array.from({ length: layer.keys }, (_, j) => token("key", j)));
    svg.addEventListener("keydown", step);
    svg.addEventListener("pointerleave", () => isolate(null));
    svg.addEventListener("focusout", (event) => { if (!svg.contains(event.relatedTarget)) isolate(null); });
    drawAll();
    return { element: frame, svg, draw: drawAll, count: () => all.length, isolated: () => told };
  }

  function toSvg(view, title) {
    const { layer, sample } = view, height = rowHeight(layer), tall = Math.max(layer.queries, layer.keys) * height;
    const at = { ...geometry(900), height, heads: view.heads };
    const lines = linesOf(view, view.least).slice(0, MOST).map((line) => drawLine(line, at, resolved));
    const labels = (count, x, anchor, label) => Array.from({ length: count }, (_, n) =>
      Paint.text(x, (n + .5) * height + 4, Attention.short(label(n), 14), { "text-anchor": anchor }));
    const legend = view.heads.map((head, n) => Page.svg("g", null,
      Page.svg("rect", { x: 16 + n % 10 * 72, y: tall + 60 + Math.floor(n / 10) * 20, width: 10, height: 10, fill: resolved(hue(head)) }),
      Paint.text(32 + n % 10 * 72, tall + 69 + Math.floor(n / 10) * 20, `head ${head}`)));
    return Paint.picture(at.wide, tall + 80 + Math.ceil(view.heads.length / 10) * 20, title,
      Paint.text(16, 24, title, { "font-size": 14, "font-weight": 600 }),
      Page.svg("g", { transform: "translate(0 40)" }, lines,
        labels(layer.queries, at.left - 10, "end", (i) => layer.queryLabel(sample, i)),
        labels(layer.keys, at.right + 10, "start", (j) => layer.keyLabel(sample, j))), legend);
  }

  function toCsv(view) {
    const { layer, sample } = view;
    return [["head", "query", "query token", "key", "key token", "weight"],
      ...linesOf(view, view.least).map(({ head, i, j }) => [head, i, layer.queryLabel(sample, i), j,
        layer.keyLabel(sample, j), layer.value(view.show, sample, head, i, j)])];
  }

  return { create, fitting, toSvg, toCsv, most: MOST };
})();
