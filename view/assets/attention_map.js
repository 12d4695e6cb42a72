"use strict";
/* One head as a heatmap: queries down, keys across, tokens at the axes. */
const HeatMap = (() => {
  const LARGEST = 8192; /* pixels of a canvas that every browser draws */

  const measure = document.createElement("canvas").getContext("2d");

  /* How much room the longest label takes; labels stand upright above the columns. */
  function room(labels, size) {
    measure.font = `${size}px "DejaVu Sans", sans-serif`;
    return Math.ceil(Math.max(...labels.map((label) => measure.measureText(label).width)));
  }

  function labelsOf(layer, sample) {
    const short = (text) => Attention.short(text, 14);
    return {
      queries: Array.from({ length: layer.queries }, (_, i) => short(layer.queryLabel(sample, i))),
      keys: Array.from({ length: layer.keys }, (_, j) => short(layer.keyLabel(sample, j))),
    };
  }

  /* Sizes for a matrix in so much width; `zoom` steps enlarge the cells. */
  function layout(layer, labels, width, zoom) {
    const size = 12, left = room(labels.queries, size) + 20, above = room(labels.keys, size) + 20;
    const fitting = Math.floor((width - left - 2) / layer.keys);
    const least = layer.keys > 400 ? 1 : width < 500 ? 4 : 3;
    const cell = Math.max(least, Math.min(34, fitting)) * 2 ** zoom;
    const most = Math.floor(LARGEST / (devicePixelRatio || 1) / Math.max(layer.keys, layer.queries));
    return { size, left, above, cell: Math.max(1, Math.min(cell, most)) };
  }

  /* Every so many labels have room. */
  const stride = (cell, size) => [1, 2, 5, 10, 20, 50, 100, 200, 500].find((n) => n * cell >= size + 3) || 1000;

  function drawAxes(g, layer, labels, at, view) {
    const step = stride(at.cell, at.size);
    g.font = `${at.size}px "DejaVu Sans", sans-serif`;
    g.textBaseline = "middle";
    for (let i = 0; i < layer.queries; i += step) {
      const blind = layer.seen(view.sample, view.head, i) === 0;
      g.fillStyle = Page.colour(blind ? "warn" : "quiet");
      g.textAlign = "right";
      g.fillText(blind ? labels.queries[i] + " ∅" : labels.queries[i], at.left - 8, at.above + (i + .5) * at.cell);
    }
    g.fillStyle = Page.colour("quiet");
    for (let j = 0; j < layer.keys; j += step) {
      g.save();
      g.translate(at.left + (j + .5) * at.cell, at.above - 8);
      g.rotate(-Math.PI / 2);
      g.textAlign = "left";
      g.fillText(labels.keys[j], 0, 0);
      g.restore();
    }
  }

  /* Large cells: lines between them, strokes across what is masked, a frame around a leak. */
  function drawMarks(g, layer, at, view) {
    if (at.cell < 7) return;
    const gap = at.cell >= 14 ? 1 : .5;
    g.strokeStyle = Page.colour("surface");
    g.lineWidth = gap;
    g.beginPath();
    for (let j = 0; j <= layer.keys; j++) {
      g.moveTo(at.left + j * at.cell, at.above);
      g.lineTo(at.left + j * at.cell, at.above + layer.queries * at.cell);
    }
    for (let i = 0; i <= layer.queries; i++) {
      g.moveTo(at.left, at.above + i * at.cell);
      g.lineTo(at.left + layer.keys * at.cell, at.above + i * at.cell);
    }
    g.stroke();
    for (let i = 0; i < layer.queries; i++)
      for (let j = 0; j < layer.keys; j++)
        if (!layer.sees(view.sample, view.head, i, j)) drawMasked(g, layer, at, view, i, j);
  }

  function drawMasked(g, layer, at, view, i, j) {
    const x = at.left + j * at.cell, y = at.above + i * at.cell, leak = layer.isLeak(view.sample, view.head, i, j);
    const colours = Paint.palette(), blind = layer.seen(view.sample, view.head, i) === 0;
    g.fillStyle = Paint.rgb(leak ? colours.leak : (blind ? colours.blind : colours.masked)[1]);
    g.fillRect(x + .5, y + .5, at.cell - 1, at.cell - 1);
    g.strokeStyle = leak ? Page.colour("surface") : Paint.rgb((blind ? colours.blind : colours.masked)[0]);
    g.lineWidth = leak ? 2 : 1.5;
    g.beginPath();
    g.moveTo(x + 2, y + at.cell - 2);
    g.lineTo(x + at.cell - 2, y + 2);
    if (leak) g.moveTo(x + 2, y + 2), g.lineTo(x + at.cell - 2, y + at.cell - 2);
    g.stroke();
  }

  /* The legend: what colours mean, in numbers. */
  function legend(view, largest) {
    const scale = Paint.scaleOf(view.show, largest), wide = 160, from = view.show === "weights" ? 0 : -largest;
    const bar = Page.el("canvas", { width: wide, height: 10, class: "ramp", "aria-hidden": "true" });
    const g = bar.getContext("2d");
    for (let x = 0; x < wide; x++) {
      g.fillStyle = Paint.rgb(scale(from + (largest - from) * x / (wide - 1)));
      g.fillRect(x, 0, 1, 10);
    }
    return Page.el("p", { class: "legend small" },
      Page.el("span", null, Page.number(from, 3)), bar, Page.el("span", null, Page.number(largest, 3)),
      [["masked", "left out by the mask"], ["blind", "query that sees nothing (∅)"], ["leak", "weight where none may be"]]
        .map(([kind, words]) => Page.el("span", { class: "key-name" }, Page.el("span", { class: "key " + kind }), words)));
  }

  /* ---- The widget ---- */

  /* view: {layer, sample, head, show, zoom, query, key}; on: {look(query, key), pin(), unpin()}. */
  function create(view, on) {
    const { layer } = view;
    const canvas = Page.el("canvas", { "aria-hidden": "true" });
    const bands = ["band across", "band down", "spot"].map((name) => Page.el("div", { class: name, hidden: true }));
    const board = Page.el("div", { class: "board", tabindex: 0, role: "application",
      "aria-roledescription": "heatmap", "aria-describedby": "map-help",
      "aria-label": `Weights of ${layer.name}, head ${view.head}: ${layer.queries} queries by ${layer.keys} keys` },
    canvas, bands);
    const frame = Page.el("div", { class: "wide" }, board);
    let at, largest;

    function draw() {
      const labels = labelsOf(layer, view.sample), fine = devicePixelRatio || 1;
      at = layout(layer, labels, frame.clientWidth || 600, view.zoom);
      const width = at.left + layer.keys * at.cell + 2, height = at.above + layer.queries * at.cell + 2;
      canvas.width = Math.round(width * fine), canvas.height = Math.round(height * fine);
      canvas.style.width = board.style.width = width + "px";
      canvas.style.height = height + "px";
      const g = canvas.getContext("2d");
      g.scale(fine, fine);
      g.imageSmoothingEnabled = false;
      const matrix = layer.matrix(view.show, view.sample, view.head);
      largest = matrix.most;
      g.drawImage(Paint.raster(layer, view.show, view.sample, view.head, matrix),
        at.left, at.above, layer.keys * at.cell, layer.queries * at.cell);
      drawMarks(g, layer, at, view);
      drawAxes(g, layer, labels, at, view);
      mark();
    }

    /* Frames the row, the column and the cell that are looked at. */
    function mark() {
      const { query, key } = view, { cell } = at;
      const boxes = [[at.left, at.above + query * cell, layer.keys * cell, cell],
        [at.left + key * cell, at.above, cell, layer.queries * cell],
        [at.left + key * cell, at.above + query * cell, cell, cell]];
      bands.forEach((band, n) => {
        band.hidden = query === null;
        if (band.hidden) return;
        const [left, top, width, height] = boxes[n];
        Object.assign(band.style, { left: left + "px", top: top + "px", width: width + "px", height: height + "px" });
      });
    }

    function cellAt(event) {
      const box = canvas.getBoundingClientRect();
      const key = Math.floor((event.clientX - box.left - at.left) / at.cell);
      const query = Math.floor((event.clientY - box.top - at.above) / at.cell);
      return key >= 0 && key < layer.keys && query >= 0 && query < layer.queries ? { query, key } : null;
    }

    function follow() {
      const spot = bands[2], box = frame.getBoundingClientRect(), left = at.left + view.key * at.cell;
      if (left < frame.scrollLeft + at.left || left + at.cell > frame.scrollLeft + box.width)
        frame.scrollLeft = left - box.width / 2;
      if (spot.scrollIntoView && !spot.hidden) spot.scrollIntoView({ block: "nearest", inline: "nearest" });
    }

    function move(query, key) {
      on.look(Math.min(Math.max(query, 0), layer.queries - 1), Math.min(Math.max(key, 0), layer.keys - 1), true);
      mark();
      follow();
    }

    const keys = {
      ArrowUp: (v) => move(v.query - 1, v.key), ArrowDown: (v) => move(v.query + 1, v.key),
      ArrowLeft: (v) => move(v.query, v.key - 1), ArrowRight: (v) => move(v.query, v.key + 1),
      Home: (v) => move(v.query, 0), End: (v) => move(v.query, layer.keys - 1),
      PageUp: (v) => move(v.query - 10, v.key), PageDown: (v) => move(v.query + 10, v.key),
      Enter: () => on.pin(), " ": () => on.pin(), Escape: () => on.unpin(),
    };

    board.addEventListener("keydown", (event) => {
      const action = keys[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      if (view.query === null) move(0, 0);
      else action(view);
    });
    board.addEventListener("pointermove", (event) => {
      const cell = cellAt(event);
      if (!cell || (cell.query === view.query && cell.key === view.key)) return;
      on.look(cell.query, cell.key, false);
      mark();
    });
    board.addEventListener("click", (event) => {
      const cell = cellAt(event);
      if (!cell) return;
      on.look(cell.query, cell.key, false);
      mark();
      on.pin();
    });

    return { element: frame, board, draw, mark, legend: () => legend(view, largest), cellBox: (query, key) => {
      const box = canvas.getBoundingClientRect();
      return { x: box.left + at.left + (key + .5) * at.cell, y: box.top + at.above + (query + .5) * at.cell };
    } };
  }

  /* ---- What is seen, to save ---- */

  function toSvg(view, title) {
    const { layer } = view, labels = labelsOf(layer, view.sample), at = layout(layer, labels, 900, 0);
    const width = at.left + layer.keys * at.cell + 20, top = at.above + 34;
    const matrix = layer.matrix(view.show, view.sample, view.head), largest = matrix.most;
    const raster = Paint.raster(layer, view.show, view.sample, view.head, matrix);
    const step = stride(at.cell, at.size), quiet = Page.colour("quiet");
    const rows = labels.queries.map((label, i) => i % step ? null : Paint.text(at.left - 8,
      top + (i + .5) * at.cell + 4, label, { "text-anchor": "end", fill: quiet }));
    const columns = labels.keys.map((label, j) => j % step ? null : Paint.text(0, 0, label, { fill: quiet,
      transform: `translate(${at.left + (j + .5) * at.cell + 4} ${top - 8}) rotate(-90)` }));
    return Paint.picture(Math.max(width, 420), top + layer.queries * at.cell + 40, title,
      Paint.text(16, 24, title, { "font-size": 14, "font-weight": 600 }),
      Page.svg("image", { x: at.left, y: top, width: layer.keys * at.cell, height: layer.queries * at.cell,
        preserveAspectRatio: "none", "image-rendering": "pixelated", href: raster.toDataURL() }),
      rows, columns,
      Paint.text(16, top + layer.queries * at.cell + 26,
        `${view.show === "weights" ? "0" : Page.number(-largest, 3)} to ${Page.number(largest, 3)}; ${layer.precision}`,
        { fill: quiet }));
  }

  function toCsv(view) {
    const { layer, sample, head } = view;
    const names = Array.from({ length: layer.keys }, (_, j) => layer.keyLabel(sample, j));
    return [["query \\ key", ...names], ...Array.from({ length: layer.queries }, (_, i) =>
      [layer.queryLabel(sample, i), ...layer.row(view.show, sample, head, i)])];
  }

  /* The same as a table, for reading. */
  function toTable(view) {
    const { layer, sample, head } = view, { el } = Page;
    const columns = Array.from({ length: layer.keys }, (_, j) => j);
    return el("table", { class: "figures numbers" },
      el("caption", { class: "hidden-visually" }, `${layer.name}, head ${head}: queries down, keys across`),
      el("thead", null, el("tr", null, el("th", { scope: "col" }, "query"),
        columns.map((j) => el("th", { scope: "col" }, layer.keyLabel(sample, j))))),
      el("tbody", null, Array.from({ length: layer.queries }, (_, i) => el("tr", null,
        el("th", { scope: "row" }, layer.queryLabel(sample, i)),
        columns.map((j) => {
          const seen = layer.sees(sample, head, i, j), leak = layer.isLeak(sample, head, i, j);
          return el("td", { class: leak ? "leak" : seen ? null : "masked" },
            seen || leak ? layer.format(layer.value(view.show, sample, head, i, j)) : "masked");
        })))));
  }

  return { create, toSvg, toCsv, toTable };
})();
