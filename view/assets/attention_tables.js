"use strict";
/* In figures and words: verdicts, head scores, and how far attention explains. */
const Tables = (() => {
  const { el, number, real } = Page;

  const verdict = (passed) => el("strong", { class: passed ? "good" : "bad" }, passed ? "✓" : "✗",
    el("span", { class: "hidden-visually" }, passed ? "holds" : "fails"));

  /* A place that can be gone to: [sample, head, query, key]. */
  function place(layer, at, go, what) {
    return el("button", { type: "button", class: "link", onclick: () => go(layer.number, ...at) },
      `sample ${at[0]}, head ${at[1]}, query ${at[2]}` + (what === "row" ? "" : `, key ${at[3]}`));
  }

  /* ---- What these weights say ---- */

  const kinds = [["Rows sum to 1", "the largest distance of a row's sum from 1, or from 0 where a query sees nothing"],
    ["Masked is zero", "the largest weight on a pair that the mask leaves out"],
    ["Weights are shares", "the least weight: none may be negative, nor be no number"]];

  function found(layer) {
    const { rows, masked, range } = layer.told.verdicts;
    return [{ passed: rows.passed, measured: real(rows.error) }, { passed: masked.passed, measured: real(masked.largest) },
      { passed: range.passed, measured: real(range.least) }];
  }

  function remarks(layer, go) {
    const { rows, masked, range } = layer.told.verdicts;
    return [
      rows.passed ? null : [rows.bad === 1 ? "One row is off: " : `${rows.bad} rows are off; the worst is `, place(layer, rows.at, go, "row"), ". "],
      masked.passed ? null : [`${masked.leaks} of ${masked.masked} masked pairs ${masked.leaks === 1 ? "has" : "have"} weight; the most: `, place(layer, masked.at, go), ". "],
      range.notFinite ? `${range.notFinite} weights are not finite. ` : null,
      rows.blind ? `${rows.blind} rows see no key (∅): their weights and outputs are 0. ` : null,
      masked.masked === 0 ? "No pair is left out." : masked.passed ? `${masked.masked} pairs are left out.` : null,
    ];
  }

  function foundTable(layers, go) {
    return el("div", { class: "wide" }, el("table", { class: "figures" },
      el("thead", null, el("tr", null, el("th", { scope: "col" }, "layer"),
        kinds.map(([name, help]) => el("th", { scope: "col", title: help }, name)), el("th", { scope: "col", class: "word" }, "found"))),
      el("tbody", null, layers.map((layer) => el("tr", null, el("th", { scope: "row" }, layer.name),
        found(layer).map((row) => el("td", null, verdict(row.passed), " ", number(row.measured, 3))),
        el("td", { class: "word" }, remarks(layer, go)))))));
  }

  /* ---- The five checks of each module ---- */

  function checkRow(check) {
    return el("tr", null, el("th", { scope: "row" }, check.name), el("td", null, verdict(check.passed)),
      el("td", null, number(real(check.measured), 3)),
      el("td", { class: "word" }, check.text, check.passed ? null : el("span", { class: "bad" },
        check.symptom ? ` Symptom: ${check.symptom}.` : "", check.cause ? ` Cause: ${check.cause}.` : ""),
      el("span", { class: "quiet small" }, ` (${check.expected})`)));
  }

  function checkTable(layer) {
    return el("details", { class: "checks", open: layer.told.checks.every((c) => c.passed) ? null : true },
      el("summary", null, layer.name, " ", el("span", { class: layer.told.checks.every((c) => c.passed) ? "good" : "bad" },
        `${layer.told.checks.filter((c) => c.passed).length} of 5 hold`)),
      el("div", { class: "wide" }, el("table", { class: "figures" },
        el("thead", null, el("tr", null, ["check", "verdict", "measured", "found"].map((name, n) =>
          el("th", { scope: "col", class: n === 3 ? "word" : null }, name)))),
        el("tbody", null, layer.told.checks.map(checkRow)))));
  }

  /* One line: all is well, or what is not, first of all on the page. */
  function verdicts(layers, go) {
    const own = layers.map(found), checked = layers.filter((layer) => layer.told.checks);
    const checks = checked.flatMap((layer) => layer.told.checks), all = [...own.flat(), ...checks];
    const bad = all.filter((row) => !row.passed).length, blind = layers.reduce((sum, l) => sum + l.told.verdicts.rows.blind, 0);
    const pills = kinds.map(([name, help], k) => {
      const rows = own.map((of) => of[k]), fine = rows.every((row) => row.passed);
      const worst = rows.map((row) => Math.abs(row.measured)).reduce((a, b) => Number.isNaN(a) || a > b ? a : b);
      return el("span", { class: fine ? "pill good" : "pill bad", title: help }, fine ? "✓ " : "✗ ", name,
        k < 2 ? el("span", { class: "figure" }, ` ${number(worst, 2)}`) : null);
    });
    if (checks.length)
      pills.push(el("span", { class: checks.every((c) => c.passed) ? "pill good" : "pill bad" },
        checks.every((c) => c.passed) ? "✓ " : "✗ ", `Five checks: ${checks.filter((c) => c.passed).length} of ${checks.length}`));
    if (blind) pills.push(el("span", { class: "pill warn" }, `∅ ${blind} rows see nothing`));
    return el("section", { class: bad ? "card verdicts alarm" : "card verdicts", "aria-labelledby": "verdicts-title" },
      el("h2", { id: "verdicts-title" }, bad ? `Not sound: ${bad} of ${all.length} verdicts fail` : "Sound as far as it was checked"),
      el("div", { class: "row pills" }, pills),
      el("details", { open: bad ? true : null }, el("summary", null, "Figures, computed before anything was rounded"),
        el("h3", null, "On the weights of this page"), foundTable(layers, go),
        checked.length ? [el("h3", null, "Of each attention module, on inputs and masks of the checks' own"),
          checked.map(checkTable)] : el("p", { class: "quiet small" },
          "The modules themselves were not checked: give the report of grd_check_mha along, or make the page of a checkpoint.")));
  }

  /* ---- Head scores ---- */

  const patterns = { previous: "the key before the query", diagonal: "the query's own position", first: "the first key",
    "anti-diagonal": "the mirrored position", duplicate: "earlier places of the same token",
    induction: "what came after the same token before", own: "the pattern that the task is known to need" };

  function columnsOf(rows) {
    const columns = [
      { id: "head", name: "head", of: (r) => r.layer.number * 1000 + r.head },
      { id: "entropy", name: "entropy", help: "0: one key; 1: all visible keys alike", of: (r) => real(r.scores.entropy),
        show: (r) => number(real(r.scores.entropy), 3) },
    ];
    for (const [name, help] of Object.entries(patterns))
      columns.push({ id: name, name, help: `share of weight on ${help}; in brackets its lift over uniform weights`,
        of: (r) => real(r.scores.patterns[name]?.lift),
        show: (r) => {
          const p = r.scores.patterns[name];
          return p && Number.isFinite(real(p.score)) ? [number(real(p.score), 2), el("span", { class: real(p.lift) >= 5 ? "lift high" : "lift" },
            ` ×${number(real(p.lift), 2)}`)] : "–";
        } });
    for (const [id, name, help] of [
      ["zero", "ablated: 0", "rise of the loss in nats when the head's output is set to 0"],
      ["mean", "ablated: mean", "the same when it is set to its mean over queries and samples"],
      ["uniform", "ablated: uniform", "the same when its weights are made uniform over the visible keys"],
      ["importance", "importance", "E|output · its gradient| over samples: how much the loss leans on it"]])
      columns.push({ id, name, help, of: (r) => real(r.scores[id]), show: (r) => number(real(r.scores[id]), 3) });
    return columns.filter((column) => rows.some((row) => !Number.isNaN(column.of(row))));
  }

  function scores(layers, open) {
    const rows = layers.flatMap((layer) => (Page.data.scores?.[layer.number] || []).map((told, head) => ({ layer, head, scores: told })));
    if (!rows.length) return null;
    const columns = columnsOf(rows), body = el("tbody");
    let by = "head", down = false;

    function fill() {
      const column = columns.find(({ id }) => id === by), rank = (row) => {
        const x = column.of(row);
        return Number.isNaN(x) ? -Infinity : x;
      };
      rows.sort((a, b) => (down ? rank(b) - rank(a) : rank(a) - rank(b)) || a.layer.number - b.layer.number || a.head - b.head);
      body.replaceChildren(...rows.map((row) => el("tr", null, el("th", { scope: "row" },
        el("button", { type: "button", class: "link", onclick: () => open(row.layer.number, row.head) },
          `${row.layer.name} · head ${row.head}`)),
      columns.slice(1).map((c) => el("td", null, c.show(row))))));
      for (const cell of head.children)
        cell.setAttribute("aria-sort", cell.dataset.id === by ? (down ? "descending" : "ascending") : "none");
    }

    const head = el("tr", null, columns.map(({ id, name, help }) => el("th", { scope: "col", "data-id": id, title: help },
      el("button", { type: "button", class: "sort", onclick: () => {
        down = by === id ? !down : id !== "head";
        by = id;
        fill();
        Page.say(`Sorted by ${name}, ${down ? "largest" : "smallest"} first`);
      } }, name, el("span", { class: "arrow", "aria-hidden": "true" })))));
    fill();
    return el("section", { class: "card", "aria-labelledby": "scores-title" }, el("h2", { id: "scores-title" }, "What the heads do"),
      el("p", { class: "quiet small" }, Page.data.scored ? `Over ${Page.data.scored}` + (real(Page.data.loss) >= 0 ? `, loss ${number(real(Page.data.loss), 4)} nats. ` : ". ") : "",
        "A pattern's share of the weight means little without its lift (×) over weights that are uniform over the visible keys. ",
        "A head matters if the loss rises without it: a weak pattern may carry much, a clear one nothing."),
      el("div", { class: "wide" }, el("table", { class: "figures scores" }, el("thead", null, head), body)));
  }

  /* ---- The caution ---- */

  const sources = [
    ["Jain and Wallace 2019", "Attention is not Explanation", "1902.10186", "other weights can give the same output, and weights often disagree with gradients"],
    ["Wiegreffe and Pinter 2019", "Attention is not not Explanation", "1908.04626", "whether they explain depends on what is asked; test against baselines"],
    ["Brunner et al. 2020", "On Identifiability in Transformers", "1908.04211", "weights are not unique where there are more tokens than numbers in a head"],
    ["Abnar and Zuidema 2020", "Quantifying Attention Flow in Transformers", "2005.00928", "tokens are mixed by every layer: a position is no longer its token"],
  ];

  function caution(layers) {
    const layer = layers.find((l) => l.query || l.told.vectors), width = layer?.told.vectors?.width;
    return el("section", { class: "card", "aria-labelledby": "caution-title" }, el("h2", { id: "caution-title" }, "How far attention explains"),
      el("p", null, "A weight says how much of a key's value a query took, not what caused the output. Values may be small or cancel, ",
        "the residual stream goes past attention, and later layers read mixtures, not tokens. Hold a pattern against a baseline, ",
        "and believe that a head matters only when the loss says so."),
      width && layer.keys > width ? el("p", null, `Here a head has ${width} numbers for ${layer.keys} keys: other weights exist that give exactly the same output.`) : null,
      el("ul", { class: "sources" }, sources.map(([who, title, id, what]) => el("li", null, who, ", ", el("cite", null, title),
        ` (arXiv:${id}): ${what}.`))));
  }

  /* ---- The keyboard ---- */

  function help() {
    const keys = [["← ↑ → ↓", "moves over heads, cells and tokens; Home and End to the row's ends, Page up and down by ten"],
      ["Enter, Space", "opens a head; in the heatmap pins a cell, so that it stays to be compared"],
      ["Escape", "takes the last pin away; in the head view shows all lines again"],
      ["Tab", "goes from part to part"]];
    return el("details", { class: "card help" }, el("summary", null, "Keyboard"),
      el("dl", null, keys.map(([name, what]) => [el("dt", null, el("kbd", null, name)), el("dd", null, what)])));
  }

  return { verdicts, scores, caution, help };
})();
