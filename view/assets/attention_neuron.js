"use strict";
/* How one query comes to its weights: query and key, their product, scale, mask, softmax, and what
 * the value is that the weight takes. */
const Neurons = (() => {
  const FEW = 24; /* keys that are shown before all are asked for */

  const dot = (a, b) => a.reduce((sum, x, n) => sum + x * b[n], 0);
  const norm = (a) => Math.sqrt(dot(a, a));

  /* Everything about one key, in f64. */
  function step(layer, sample, head, i, j) {
    const query = layer.queryVector(sample, head, i), key = layer.keyVector(sample, head, j);
    const product = dot(query, key), scaled = product * layer.scale;
    const score = layer.softcap > 0 ? layer.softcap * Math.tanh(scaled / layer.softcap) : scaled;
    const value = norm(layer.valueVector(sample, head, j)), weight = layer.weight(sample, head, i, j);
    return { j, query, key, product, scaled, score, seen: layer.sees(sample, head, i, j), weight, value,
      leak: layer.isLeak(sample, head, i, j), moved: weight * value };
  }

  const steps = (view, i) => Array.from({ length: view.layer.keys }, (_, j) => step(view.layer, view.sample, view.head, i, j));

  /* Numbers as a strip of cells around 0. */
  function strip(values, largest, name) {
    const cell = Math.max(2, Math.min(9, Math.floor(150 / values.length))), canvas = Page.el("canvas",
      { width: values.length * cell, height: 16, class: "strip", role: "img", "aria-label": name });
    const g = canvas.getContext("2d"), scale = Paint.scaleOf("uniform", largest);
    values.forEach((x, n) => {
      g.fillStyle = Paint.rgb(scale(x));
      g.fillRect(n * cell, 0, cell - (cell > 4 ? 1 : 0), 16);
    });
    return canvas;
  }

  const largestOf = (lists) => lists.reduce((most, list) => list.reduce((m, x) => Math.max(m, Math.abs(x)), most), 0);

  function cells(view, s, most) {
    const { layer, sample } = view, { el } = Page, softcapped = layer.softcap > 0;
    const product = Array.from(s.query, (x, n) => x * s.key[n]);
    return el("tr", { class: s.leak ? "leak" : s.seen ? null : "masked" },
      el("th", { scope: "row", class: "token-cell" }, el("bdi", null, Attention.short(layer.keyLabel(sample, s.j), 16)),
        el("span", { class: "quiet" }, ` ${s.j}`)),
      el("td", null, strip(s.key, most.key, `key ${s.j}: ${s.key.length} numbers, length ${Page.number(norm(s.key), 3)}`)),
      el("td", null, strip(product, most.product, "the product of each pair of numbers")),
      el("td", null, Page.number(s.product, 4)),
      el("td", null, Page.number(s.scaled, 4)),
      softcapped ? el("td", null, Page.number(s.score, 4)) : null,
      el("td", { class: "word" }, s.leak ? "masked, but weighs" : s.seen ? "seen" : "masked: −∞"),
      el("td", { class: "bar-cell" }, Paint.bar(s.weight, 64)), el("td", null, layer.format(s.weight)),
      el("td", null, Page.number(s.value, 3)),
      el("td", null, Page.number(s.moved, 3)));
  }

  /* The softmax of what is seen, here once more from the numbers above it. */
  function again(list) {
    const seen = list.filter((s) => s.seen), top = Math.max(...seen.map((s) => s.score));
    const sum = seen.reduce((all, s) => all + Math.exp(s.score - top), 0);
    return list.map((s) => s.seen ? Math.exp(s.score - top) / sum : 0);
  }

  function heading(view, i, list) {
    const { layer, sample, head } = view, { el } = Page, query = layer.queryVector(sample, head, i);
    const off = Math.max(0, ...again(list).map((x, n) => Math.abs(x - list[n].weight)));
    const seen = list.filter((s) => s.seen).length;
    return el("div", { class: "neuron-head" },
      el("p", { class: "row" }, el("strong", null, el("bdi", null, layer.queryName(sample, i))),
        strip(query, largestOf([query]), `its ${query.length} numbers`),
        el("span", { class: "quiet" }, `length ${Page.number(norm(query), 3)}, sees ${seen} of ${layer.keys} keys, ` +
          `scale ${Page.number(layer.scale, 4)}`)),
      el("p", { class: "quiet small" }, seen === 0 ? "This query sees no key: its weights and its output are 0." :
        `The softmax of these scores is at most ${Page.number(off, 2)} away from the weights; ` +
        `query and key here are ${layer.told.vectors.precision}.`));
  }

  function table(view, list, all) {
    const { el } = Page, { layer } = view;
    const most = { key: largestOf(list.map((s) => s.key)),
      product: largestOf(list.map((s) => Array.from(s.query, (x, n) => x * s.key[n]))) };
    const shown = all ? list : [...list].sort((a, b) => b.leak - a.leak || b.weight - a.weight).slice(0, FEW).sort((a, b) => a.j - b.j);
    const titles = [["key", "key"], ["key's numbers", "k"], ["query × key", "q × k"], ["sum", "q·k"],
      ["× scale", "q·k × scale"], ...(layer.softcap > 0 ? [["capped", "softcap"]] : []), ["mask", "mask"], null, ["softmax", "weight"],
      ["|value|", "the length of the value's vector"], ["weight × |value|", "how far it moves the output at most"]];
    return el("div", { class: "wide" }, el("table", { class: "figures neurons" },
      el("caption", { class: "hidden-visually" }, "From the query's and key's numbers to the weight, a row for each key"),
      el("thead", null, el("tr", null, titles.map((title) => title === null ? el("td") : el("th", { scope: "col", title: title[1], class: title[0] === "mask" ? "word" : null }, title[0])))),
      el("tbody", null, shown.map((s) => cells(view, s, most)))));
  }

  /* Without vectors: why. */
  function missing() {
    const { vectors, vectorsMost } = Page.data;
    return Page.el("p", { class: "quiet" }, vectors > vectorsMost
      ? `Left out to keep the page small: queries, keys and values are ${Page.number(vectors)} numbers, and at most ` +
        `${Page.number(vectorsMost)} are taken. Make a page of a shorter text, or of fewer samples.`
      : "This page was made without queries, keys and values.");
  }

  function create(view, i, all, toggle) {
    const { layer } = view, { el } = Page;
    if (!layer.query) return el("div", null, missing());
    const list = steps(view, i);
    return el("div", null, heading(view, i, list), table(view, list, all),
      layer.keys > FEW ? el("p", null, el("button", { type: "button", onclick: toggle, "aria-pressed": all ? "true" : "false" },
        all ? `Only the ${FEW} heaviest keys` : `All ${layer.keys} keys`)) : null);
  }

  function toCsv(view, i) {
    const { layer, sample } = view;
    return [["key", "token", "q.k", "scaled", "score", "seen", "weight", "value norm", "weight x value norm"],
      ...steps(view, i).map((s) => [s.j, layer.keyLabel(sample, s.j), s.product, s.scaled, s.score, s.seen ? 1 : 0,
        s.weight, s.value, s.moved])];
  }

  function toSvg(view, i, title) {
    const { layer, sample } = view, list = steps(view, i), high = 20, quiet = Page.colour("quiet");
    const head = ["key", "q·k", "× scale", "weight", "", "|value|"], at = [16, 190, 270, 350, 420, 560];
    const most = Math.max(...list.map((s) => s.weight)) || 1;
    return Paint.picture(660, 84 + list.length * high, title,
      Paint.text(16, 24, title, { "font-size": 14, "font-weight": 600 }),
      head.map((name, n) => Paint.text(at[n], 52, name, { fill: quiet })),
      list.map((s, n) => {
        const y = 74 + n * high;
        return [Paint.text(at[0], y, Attention.short(layer.keyLabel(sample, s.j), 20)),
          Paint.text(at[1], y, Page.number(s.product, 4)),
          Paint.text(at[2], y, s.seen ? Page.number(s.scaled, 4) : "masked"), Paint.text(at[3], y, Page.number(s.weight, 4)),
          Page.svg("rect", { x: at[4], y: y - 10, width: 120 * s.weight / most, height: 12,
            fill: Page.colour(s.leak ? "bad" : "accent") }),
          Paint.text(at[5], y, Page.number(s.value, 3))];
      }));
  }

  return { create, toCsv, toSvg };
})();
