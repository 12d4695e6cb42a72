"use strict";
/* Colours of weights and of differences, a head's matrix as pixels, and pictures to save. */
const Paint = (() => {
  const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;

  /* From 0 to the largest, and from the most negative over 0 to the most positive. */
  const ramps = {
    light: {
      share: [[243, 245, 249], [187, 210, 240], [104, 157, 219], [35, 96, 182], [10, 38, 96]],
      change: [[133, 52, 0], [229, 143, 70], [245, 245, 244], [104, 157, 219], [10, 50, 120]],
      masked: [[221, 221, 216], [236, 236, 231]], leak: [205, 20, 30], blind: [[240, 207, 158], [248, 226, 192]],
    },
    dark: {
      share: [[27, 35, 48], [32, 60, 104], [44, 102, 174], [101, 164, 234], [222, 238, 255]],
      change: [[255, 190, 130], [190, 100, 38], [38, 43, 52], [50, 108, 180], [170, 208, 255]],
      masked: [[48, 48, 50], [36, 37, 40]], leak: [255, 92, 92], blind: [[92, 66, 24], [72, 54, 26]],
    },
  };
  const palette = () => ramps[dark() ? "dark" : "light"];

  function between(stops, t) {
    const x = Math.min(Math.max(t, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(x), stops.length - 2);
    return stops[i].map((from, c) => Math.round(from + (stops[i + 1][c] - from) * (x - i)));
  }

  /* 256 colours at hand: a page paints millions of cells. */
  function table(stops) {
    return Array.from({ length: 256 }, (_, i) => between(stops, i / 255));
  }

  let tables = {};
  Page.onTheme(() => { tables = {}; });

  /* What a cell is painted with: a colour [r, g, b]. */
  function scaleOf(show, most) {
    const kind = show === "weights" ? "share" : "change", stops = tables[kind] ||= table(palette()[kind]);
    const unit = 255 / (most > 0 ? most : 1) / (kind === "share" ? 1 : 2), zero = kind === "share" ? 0 : 127.5;
    const { leak } = palette();
    return (x) => {
      const n = Math.round(x * unit + zero);
      return n >= 0 ? stops[n < 255 ? n : 255] : n < 0 ? stops[0] : leak; /* NaN is neither */
    };
  }

  /* The strongest of the cells in a block: a leak before all, then what is seen. Small pictures of long sequences
   * hide nothing. */
  function strongest(matrix, layer, y, x, block) {
    const { values, looks } = matrix, bottom = Math.min(y + block, layer.queries), right = Math.min(x + block, layer.keys);
    let best = y * layer.keys + x;
    for (let i = y; i < bottom; i++)
      for (let n = i * layer.keys + x, end = i * layer.keys + right; n < end; n++)
        if (looks[n] > looks[best] || (looks[n] === looks[best] && Math.abs(values[n]) > Math.abs(values[best]))) best = n;
    return best;
  }

  /* A head's matrix, a pixel for a cell, or for a block of cells. */
  function raster(layer, show, sample, head, matrix, block = 1) {
    const wide = Math.ceil(layer.keys / block), high = Math.ceil(layer.queries / block), colours = palette();
    const image = new ImageData(wide, high), pixels = image.data, scale = scaleOf(show, matrix.most);
    for (let y = 0, at = 0; y < high; y++) {
      const hidden = layer.seen(sample, head, y * block) ? colours.masked : colours.blind;
      for (let x = 0; x < wide; x++, at += 4) {
        const n = block === 1 ? y * wide + x : strongest(matrix, layer, y * block, x * block, block);
        const look = matrix.looks[n];
        const colour = look === 1 ? scale(matrix.values[n]) : look === 2 ? colours.leak : hidden[wide > 16 && (x + y) % 4 === 0 ? 0 : 1];
        pixels[at] = colour[0], pixels[at + 1] = colour[1], pixels[at + 2] = colour[2], pixels[at + 3] = 255;
      }
    }
    const canvas = document.createElement("canvas");
    canvas.width = wide, canvas.height = high;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  /* A share as a bar, beside its number. */
  function bar(share, wide) {
    const canvas = Page.el("canvas", { width: wide, height: 8, class: "bar", "aria-hidden": "true" }), g = canvas.getContext("2d");
    g.fillStyle = Page.colour("line");
    g.fillRect(0, 0, wide, 8);
    g.fillStyle = Page.colour("accent");
    g.fillRect(0, 0, wide * Math.min(1, Math.max(0, share)), 8);
    return canvas;
  }

  const rgb = (colour) => `rgb(${colour.join(",")})`;

  /* ---- Saving ---- */

  const font = 'system-ui, "DejaVu Sans", sans-serif';

  /* A document of its own, on the page's ground. */
  function picture(width, height, title, ...children) {
    return Page.svg("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`,
      "font-family": font, "font-size": 12, fill: Page.colour("ink") },
    Page.svg("title", null, title),
    Page.svg("rect", { width, height, fill: Page.colour("surface") }), ...children);
  }

  const text = (x, y, content, attributes) => Page.svg("text", { x, y, ...attributes }, content);

  const serialised = (svg) => new XMLSerializer().serializeToString(svg);

  function saveSvg(name, svg) {
    Page.save(name + ".svg", new Blob([serialised(svg)], { type: "image/svg+xml" }));
  }

  /* Twice as fine as on the page, as far as browsers allow. */
  async function savePng(name, svg) {
    const image = new Image(), width = +svg.getAttribute("width"), height = +svg.getAttribute("height");
    const fine = Math.min(2, 8192 / Math.max(width, height));
    const address = URL.createObjectURL(new Blob([serialised(svg)], { type: "image/svg+xml" }));
    await new Promise((done, failed) => {
      image.onload = done, image.onerror = failed;
      image.src = address;
    });
    const canvas = Page.el("canvas", { width: Math.round(width * fine), height: Math.round(height * fine) });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(address);
    Page.save(name + ".png", await new Promise((done) => canvas.toBlob(done)));
  }

  /* Spreadsheets run what starts like a formula; texts may be anyone's. */
  function cellOf(x) {
    const content = typeof x === "string" && /^[=+\-@\t]/.test(x) ? "'" + x : String(x);
    return /[",\n\r]/.test(content) ? `"${content.replace(/"/g, '""')}"` : content;
  }

  function saveCsv(name, rows) {
    const lines = rows.map((row) => row.map(cellOf).join(",") + "\n");
    Page.save(name + ".csv", new Blob(lines, { type: "text/csv" }));
  }

  return { scaleOf, raster, bar, palette, rgb, picture, text, saveSvg, savePng, saveCsv, dark };
})();
