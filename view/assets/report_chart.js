/* A chart: curves over the steps of a run, in SVG. It is looked through by pointer, finger or keys;
   where it looks is the view's, which all charts share. */
const Chart = (() => {
  const LEFT = 62, RIGHT = 14, TOP = 12, BOTTOM = 30;

  /* The first index whose x is not below `x`. */
  function lowerBound(xs, x) {
    let low = 0, high = xs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle + 1; else high = middle;
    }
    return low;
  }

  /* The index of the nearest. */
  function nearest(xs, x) {
    const i = lowerBound(xs, x);
    return i > 0 && (i === xs.length || x - xs[i - 1] <= xs[i] - x) ? i - 1 : i;
  }

  /* ---- Scales ---- */

  function niceStep(span, count) {
    const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
    return power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
  }

  function linearTicks(from, to, count) {
    const step = niceStep(to - from || 1, count), ticks = [];
    for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) ticks.push(i * step);
    return ticks;
  }

  function logTicks(from, to) {
    const decades = Math.log10(to / from);
    const parts = decades < 1.5 ? [1, 2, 3, 5, 7] : decades < 4 ? [1, 3] : [1];
    const every = Math.max(1, Math.ceil(decades / 7)), ticks = [];
    for (let e = Math.floor(Math.log10(from)); e <= Math.ceil(Math.log10(to)); e += every)
      for (const part of parts) {
        const tick = part * 10 ** e;
        if (tick >= from && tick <= to) ticks.push(tick);
      }
    return ticks.length > 1 ? ticks : linearTicks(from, to, 4);
  }

  function tickText(x) {
    const size = Math.abs(x);
    if (x !== 0 && (size >= 1e5 || size < 1e-3)) {
      const [digits, power] = x.toExponential(1).split("e");
      return `${digits.replace(/\.0$/, "")}e${Number(power)}`.replace(/-/g, "−");
    }
    return String(Number(x.toPrecision(6))).replace(/-/g, "−");
  }

  /* Up to so many digits that mean something, without zeros behind them. */
  const digits = (x, most) => (Number.isFinite(x) ? String(Number(x.toPrecision(most))).replace(/-/g, "−") : Page.number(x));

  const counts = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const shortCounts = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
  /* 12 345 */
  const count = (x) => (Number.isFinite(x) ? counts.format(x).replace(/,/g, "\u2009") : Page.number(x));
  const brief = (x) => (x >= 1e6 ? shortCounts.format(x) : count(x));
  const countTick = (x) => (x >= 1e5 ? shortCounts.format(x) : count(x));

  /* ---- A curve's path: what falls into one column of pixels is drawn from its least to its
     largest, so that no spike is lost. ---- */

  function pathOf(xs, ys, from, to, toX, toY, usable) {
    const parts = [];
    let pen = false, column = null;
    const point = (x, y) => {
      parts.push(`${pen ? "L" : "M"}${x.toFixed(1)} ${toY(y).toFixed(1)}`);
      pen = true;
    };
    const flush = () => {
      if (!column) return;
      const { x, first, last, low, high } = column;
      point(x, first);
      if (low < Math.min(first, last)) point(x, low);
      if (high > Math.max(first, last)) point(x, high);
      if (last !== first || !column.joined) point(x, last);
      column = null;
    };
    for (let i = from; i < to; i++) {
      const y = ys[i];
      if (!usable(y)) {
        flush();
        pen = false;
        continue;
      }
      const x = toX(xs[i]);
      if (column && Math.round(column.x) === Math.round(x)) {
        column.last = y;
        column.low = Math.min(column.low, y);
        column.high = Math.max(column.high, y);
        continue;
      }
      flush();
      column = { x, first: y, last: y, low: y, high: y, joined: pen };
    }
    flush();
    return parts.join("");
  }

  /* Gives a part that stands alone the looks of one on the page. */
  const LOOKS = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "stroke-linejoin",
    "stroke-linecap", "font-family", "font-size"];
  function styled(part, alone) {
    const style = getComputedStyle(part);
    for (const name of ["style", "class"]) alone.removeAttribute(name);
    for (const name of LOOKS) alone.setAttribute(name, style.getPropertyValue(name));
    return alone;
  }

  class Chart {
    /* curves: { key, name, x: { step, tokens }, y, smooth, colour, faint, strong, dash, dots, off }. With smooth,
       a function of the y's that smooth them, y is drawn faint below those. */
    constructor(view, { id, title, note, curves, log, height, digits }) {
      Object.assign(this, { view, id, title, curves, height: height || 240, digits: digits || 6 });
      this.log = Page.state.get(`scale-${id}`, log ? "log" : "linear") === "log";
      const off = Page.state.get(`off-${id}`, null);
      if (off !== null) for (const curve of curves) curve.off = off.split(",").includes(curve.key);
      this.where = Page.el("span", { class: "quiet where" });
      this.plot = Page.el("div", { class: "plot", tabindex: "0", role: "slider", id, "aria-label":
        `${title}: arrow keys move along the steps, plus and minus zoom, Escape shows all` });
      this.legend = Page.el("div", { class: "row legend", role: "group", "aria-label": `Curves of ${title}` },
        curves.map((curve) => this.entry(curve)));
      this.element = Page.el("section", { class: "card chart", "aria-labelledby": `${id}-title` },
        Page.el("div", { class: "row head" }, Page.el("h2", { id: `${id}-title` }, title), this.where,
          Page.el("span", { class: "row tools screen-only" }, this.scaleButton(),
            Page.el("button", { class: "chip", onclick: () => this.download() }, "SVG"))),
        note ? Page.el("p", { class: "quiet" }, note) : null, this.legend, this.plot);
      this.listen();
      new ResizeObserver(() => {
        if (!this.frame || this.frame.width !== this.width()) this.draw();
      }).observe(this.plot);
    }

    entry(curve) {
      const line = Page.svg("line", { x1: 1, x2: 21, y1: 6, y2: 6, class: this.classOf(curve) });
      line.style.setProperty("--c", curve.colour);
      curve.swatch = line;
      curve.value = Page.el("data", { class: "value", value: "" });
      const button = Page.el("button", { class: "chip curve-chip", "aria-pressed": String(!curve.off), onclick: () => {
        curve.off = !curve.off;
        button.setAttribute("aria-pressed", String(!curve.off));
        const off = this.curves.filter((c) => c.off).map((c) => c.key);
        Page.state.set({ [`off-${this.id}`]: off.length ? off.join(",") : "none" });
        this.draw();
      } }, Page.svg("svg", { width: 22, height: 12, "aria-hidden": "true" }, line), " ", curve.name, " ", curve.value);
      return button;
    }

    scaleButton() {
      const button = Page.el("button", { class: "chip", "aria-pressed": String(this.log), onclick: () => {
        this.log = !this.log;
        button.setAttribute("aria-pressed", String(this.log));
        Page.state.set({ [`scale-${this.id}`]: this.log ? "log" : "linear" });
        this.draw();
      } }, "log");
      return button;
    }

    classOf(curve) {
      return ["curve", curve.faint && "faint", curve.strong && "strong", curve.dash && "dashed"].filter(Boolean).join(" ");
    }

    get shown() { return this.curves.filter((curve) => !curve.off); }
    usable = (y) => Number.isFinite(y) && (!this.log || y > 0);

    width() { return Math.max(240, this.plot.clientWidth); }

    /* ---- Drawing ---- */

    measure() {
      const [x0, x1] = this.view.range();
      let low = Infinity, high = -Infinity;
      for (const curve of this.shown) {
        const xs = curve.x[this.view.axis];
        const to = Math.min(xs.length, lowerBound(xs, x1) + 1);
        for (let i = Math.max(0, lowerBound(xs, x0) - 1); i < to; i++)
          if (this.usable(curve.y[i])) {
            low = Math.min(low, curve.y[i]);
            high = Math.max(high, curve.y[i]);
          }
      }
      if (low > high) [low, high] = this.log ? [0.1, 1] : [0, 1];
      if (this.log) {
        const pad = (high / low) ** 0.05;
        [low, high] = low === high ? [low / 2, high * 2] : [low / pad, high * pad];
      } else {
        const pad = (high - low || Math.abs(high) || 1) * 0.06;
        [low, high] = [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
      }
      const width = this.width(), inner = width - LEFT - RIGHT, down = this.height - TOP - BOTTOM;
      const scaled = this.log ? Math.log : (y) => y, a = scaled(low), b = scaled(high);
      this.frame = { width, x0, x1, low, high, inner, down,
        toX: (x) => LEFT + (x - x0) / (x1 - x0 || 1) * inner,
        fromX: (px) => x0 + (px - LEFT) / inner * (x1 - x0),
        toY: (y) => TOP + (1 - (scaled(y) - a) / (b - a)) * down };
    }

    axes() {
      const { width, x0, x1, low, high, inner, toX, toY } = this.frame, bottom = this.height - BOTTOM;
      const parts = [];
      for (const y of this.log ? logTicks(low, high) : linearTicks(low, high, 4)) {
        parts.push(Page.svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: toY(y), y2: toY(y) }));
        parts.push(Page.svg("text", { class: "tick", x: LEFT - 9, y: toY(y) + 4, "text-anchor": "end" }, tickText(y)));
      }
      for (const x of linearTicks(x0, x1, Math.max(3, Math.min(8, inner / 90)))) {
        if (!Number.isInteger(x)) continue;
        parts.push(Page.svg("line", { class: "grid", x1: toX(x), x2: toX(x), y1: bottom, y2: bottom + 5 }));
        parts.push(Page.svg("text", { class: "tick", x: toX(x), y: bottom + 19, "text-anchor": "middle" }, countTick(x)));
      }
      parts.push(Page.svg("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom }));
      return parts;
    }

    marks() {
      const { toX, x0, x1 } = this.frame, bottom = this.height - BOTTOM;
      return this.view.marks.filter((mark) => mark.x() >= x0 && mark.x() <= x1).map((mark) =>
        Page.svg("line", { class: mark.kind, x1: toX(mark.x()), x2: toX(mark.x()),
          y1: mark.kind === "lost" ? bottom - 9 : TOP, y2: bottom }, Page.svg("title", {}, mark.name)));
    }

    curve(curve) {
      const { x0, x1, toX, toY } = this.frame, xs = curve.x[this.view.axis];
      const from = Math.max(0, lowerBound(xs, x0) - 1), to = Math.min(xs.length, lowerBound(xs, x1) + 1);
      const line = (y, className) => Page.svg("path", { class: className, "data-key": curve.key,
        d: pathOf(xs, y, from, to, toX, toY, this.usable) });
      const smooth = curve.smooth && curve.smooth(xs, curve.y);
      const all = smooth ? [line(curve.y, "curve faint"), line(smooth, this.classOf(curve))] : [line(curve.y, this.classOf(curve))];
      if (curve.dots && to - from <= 60)
        for (let i = from; i < to; i++)
          if (this.usable(curve.y[i])) all.push(Page.svg("circle", { class: "dot", cx: toX(xs[i]), cy: toY(curve.y[i]), r: 3 }));
      if (curve.best && this.usable(curve.best.y)) {
        const x = toX(curve.best.x[this.view.axis]), y = toY(curve.best.y);
        all.push(Page.svg("path", { class: "best", d: `M${x} ${y - 8}l6 8l-6 8l-6 -8z` }, Page.svg("title", {}, curve.best.name)));
      }
      for (const part of all) part.style.setProperty("--c", curve.colour);
      return all;
    }

    draw() {
      if (!this.plot.clientWidth) return;
      this.measure();
      const { width, inner, down } = this.frame;
      this.cross = Page.svg("g", { class: "cross" });
      this.picked = Page.svg("rect", { class: "picked", y: TOP, height: down, width: 0 });
      this.svg = Page.svg("svg", { width, height: this.height, viewBox: `0 0 ${width} ${this.height}`, "aria-hidden": "true" },
        Page.svg("clipPath", { id: `${this.id}-clip` }, Page.svg("rect", { x: LEFT - 1, y: 0, width: inner + 8, height: this.height - BOTTOM + 2 })),
        this.axes(),
        Page.svg("g", { "clip-path": `url(#${this.id}-clip)` }, this.marks(), this.shown.map((curve) => this.curve(curve))),
        this.picked, this.cross);
      this.plot.replaceChildren(this.svg);
      this.point();
    }

    /* ---- What is pointed at: the values of each curve there, or the last ones ---- */

    point() {
      const { view } = this, at = view.cursor;
      if (!this.frame) return;
      const { toX, toY, x0, x1 } = this.frame, x = at === null ? null : view.x(at), spoken = [];
      this.cross.replaceChildren();
      const inside = x !== null && x >= x0 && x <= x1;
      if (inside) this.cross.append(Page.svg("line", { x1: toX(x), x2: toX(x), y1: TOP, y2: this.height - BOTTOM }));
      for (const curve of this.curves) {
        const xs = curve.x[view.axis], i = xs.length ? nearest(xs, x === null ? Infinity : x) : -1, y = i < 0 ? NaN : curve.y[i];
        curve.value.value = i < 0 ? "" : String(y);
        curve.value.textContent = i < 0 ? "–" : digits(y, this.digits);
        if (curve.off) continue;
        spoken.push(`${curve.name} ${curve.value.textContent}`);
        if (inside && this.usable(y)) {
          const dot = Page.svg("circle", { cx: toX(xs[i]), cy: toY(y), r: 4 });
          dot.style.setProperty("--c", curve.colour);
          this.cross.append(dot);
        }
      }
      this.where.textContent = at === null ? "" : view.told(at);
      const step = view.steps.length ? view.steps[at === null ? view.steps.length - 1 : at] : 0;
      for (const [name, value] of [["min", view.first], ["max", view.last], ["now", step], ["text",
        `${view.told(at === null ? view.steps.length - 1 : at)}: ${spoken.join(", ")}`]])
        this.plot.setAttribute(`aria-value${name}`, value);
    }

    /* ---- Pointer and keys ---- */

    listen() {
      const px = (event) => event.clientX - this.plot.getBoundingClientRect().left;
      const clamp = (x) => Math.min(LEFT + this.frame.inner, Math.max(LEFT, x));
      let start = null;
      const show = (event) => this.view.look(nearest(this.view.xs(), this.frame.fromX(clamp(px(event)))));
      this.plot.addEventListener("pointerdown", (event) => {
        show(event);
        if (event.pointerType !== "mouse" || event.button !== 0) return;
        start = clamp(px(event));
        this.view.busy = true;
        this.plot.setPointerCapture(event.pointerId);
      });
      this.plot.addEventListener("pointermove", (event) => {
        show(event);
        if (start === null) return;
        const now = clamp(px(event));
        this.picked.setAttribute("x", Math.min(start, now));
        this.picked.setAttribute("width", Math.abs(now - start));
      });
      const finish = (event) => {
        if (start === null) return;
        const now = clamp(px(event)), from = this.frame.fromX(Math.min(start, now)), to = this.frame.fromX(Math.max(start, now));
        const dragged = Math.abs(now - start) > 6 && event.type === "pointerup";
        start = null;
        this.view.busy = false;
        this.picked.setAttribute("width", 0);
        if (dragged) this.view.zoomTo(from, to);
      };
      this.plot.addEventListener("pointerup", finish);
      this.plot.addEventListener("pointercancel", finish);
      this.plot.addEventListener("pointerleave", () => {
        if (start === null && document.activeElement !== this.plot) this.view.look(null);
      });
      this.plot.addEventListener("dblclick", () => this.view.whole());
      this.plot.addEventListener("blur", () => this.view.look(null));
      this.plot.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (this.view.key(event.key, event.shiftKey)) event.preventDefault();
      });
    }

    /* ---- As a picture of its own: what the page's styles say, written into each part ---- */

    /* Title and legend; and how high they are. */
    head() {
      const text = (x, y, words, more) => Page.svg("text", { x, y, fill: Page.colour("ink"), "font-size": 13,
        "font-family": getComputedStyle(document.body).fontFamily, ...more }, words);
      const parts = [text(LEFT, 26, `${this.title} (${document.title})`, { "font-size": 15, "font-weight": 600 })];
      let x = LEFT, y = 50;
      for (const curve of this.shown) {
        const width = 46 + 7.4 * curve.name.length;
        if (x + width > this.frame.width) [x, y] = [LEFT, y + 20];
        parts.push(styled(curve.swatch, Page.svg("line", { x1: x, x2: x + 20, y1: y - 4, y2: y - 4 })), text(x + 27, y, curve.name));
        x += width;
      }
      return [Page.svg("g", {}, parts), y + 8];
    }

    download() {
      this.cross.replaceChildren();
      const copy = this.svg.cloneNode(true), from = this.svg.querySelectorAll("*"), to = copy.querySelectorAll("*");
      from.forEach((part, i) => styled(part, to[i]));
      const [head, down] = this.head(), { width } = this.frame, height = this.height + down;
      const picture = Page.svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" },
        Page.svg("title", {}, `${this.title}, ${document.title}`),
        Page.svg("rect", { width: "100%", height: "100%", fill: Page.colour("surface") }), head,
        Page.svg("g", { transform: `translate(0 ${down})` }, [...copy.children]));
      Page.save(`${this.id}.svg`, new Blob([new XMLSerializer().serializeToString(picture)], { type: "image/svg+xml" }));
      this.point();
    }
  }

  return Object.assign(Chart, { nearest, lowerBound, count, brief, digits });
})();
