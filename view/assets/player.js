"use strict";
/* Steps through a graph: first its values, op by op, then its gradients, in the order of the walk. */
(async () => {
  const { el, svg, number, real } = Page;
  const { graph, size, boxes, ways, forward, backward, tensors } = Page.data;
  const nodes = graph.nodes;
  const corners = new Float32Array((await Page.blob(Page.data.corners)).buffer);

  /* ---- What happens when ---- */

  const steps = [{ phase: "start" }, ...forward.map((box) => ({ phase: "forward", box })),
    ...backward.map((step) => ({ phase: "backward", ...step }))];
  const firstBack = 1 + forward.length;
  const stepOf = { forward: new Map(), backward: new Map() };
  steps.forEach((step, i) => { if (step.box !== undefined) stepOf[step.phase].set(step.box, i); });
  /* What each box gets, in order, and in which step. */
  const parts = boxes.map(() => []);
  steps.forEach((step, i) => (step.sent || []).forEach((s) => parts[s.to].push({ ...s, from: step.box, step: i })));

  const nameOf = (id) => nodes[id].name || `${nodes[id].op} ${id}`;
  const isOp = (id) => nodes[id].kind === "op" || nodes[id].kind === "module";
  const inputsOf = (id) => nodes[id].inputs.filter((input) => input !== null);
  const rule = (id) => {
    const [before, ...after] = (nodes[id].rule || "").split(": ");
    return { forward: before, backward: after.join(": ") };
  };
  const call = (id) => `${nameOf(id)} = ${nodes[id].op}(${nodes[id].inputs.map((i) => (i === null ? "…" : nameOf(i))).join(", ")})`;
  const shape = (t) => `${t.dtype} [${t.shape.join(", ")}]`;

  /* A step in a sentence, for those who hear it. */
  function told(i) {
    const step = steps[i];
    if (step.phase === "start")
      return `Start. ${boxes.filter((_, id) => !isOp(id)).length} leaves and constants are given, ${forward.length} ops follow.`;
    const value = (t) => {
      if (t === null || t === undefined) return "not kept";
      if (tensors[t].numbers && tensors[t].numbers.length <= 8) return tensors[t].numbers.map((x) => number(real(x))).join(", ");
      return shape(tensors[t]);
    };
    if (step.phase === "forward") return `Forward ${i} of ${forward.length}. ${call(step.box)}: ${value(boxes[step.box].value)}.`;
    const place = `Backward ${i - firstBack + 1} of ${backward.length}. `;
    if (!isOp(step.box)) return `${place}The gradient of ${nameOf(step.box)} is whole: ${value(step.gradient)}.`;
    const sent = step.sent.map((s) => `${nameOf(s.to)} gets ${s.part} of ${s.parts}`).join(", ");
    return `${place}${nameOf(step.box)} has gradient ${value(step.gradient)}. ${rule(step.box).backward}. ${sent}.`;
  }

  /* ---- Numbers, and colours for many ---- */

  const largest = (values) => values.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0) || 1;
  const share = (x, most) => Math.round(Math.min(1, Math.abs(x) / most) * 100);

  function table(t) {
    const values = t.numbers.map(real), most = largest(values);
    const columns = t.shape.length ? t.shape[t.shape.length - 1] : 1;
    const rows = t.shape.length > 1 ? t.shape[t.shape.length - 2] : 1;
    const body = el("tbody");
    for (let at = 0, row = 0; at < values.length; at += columns, row++)
      body.append(el("tr", { class: row && row % rows === 0 ? "gap" : null }, values.slice(at, at + columns).map((x) => {
        const cell = el("td", { title: String(x), class: Number.isFinite(x) ? null : "bad" }, number(x));
        if (Number.isFinite(x) && x !== 0)
          cell.style.background = `color-mix(in srgb, var(--${x < 0 ? "hue-1" : "hue-0"}) ${Math.round(share(x, most) * 0.28)}%, var(--ground))`;
        return cell;
      })));
    return el("div", { class: "wide" }, el("table", { class: "numbers" }, body));
  }

  const rgb = (role) => {
    const probe = el("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    probe.fillStyle = Page.colour(role);
    probe.fillRect(0, 0, 1, 1);
    return probe.getImageData(0, 0, 1, 1).data;
  };
  const maps = new Set();

  function paint(canvas, t) {
    const [rows, columns] = t.corner, values = corners.subarray(t.at, t.at + rows * columns);
    const most = largest(Array.from(values)), low = rgb("hue-1"), high = rgb("hue-0"), none = rgb("surface"), bad = rgb("bad");
    const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
    values.forEach((x, i) => {
      const to = Number.isFinite(x) ? (x < 0 ? low : high) : bad, part = Number.isFinite(x) ? share(x, most) / 100 : 1;
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = none[c] + (to[c] - none[c]) * part;
      image.data[4 * i + 3] = 255;
    });
    context.putImageData(image, 0, 0);
  }

  const statistics = (s) => typeof s === "string" ? s
    : `min ${number(s.min)} · max ${number(s.max)} · mean ${number(s.mean)} · norm ${number(s.norm)}` +
      (s.not_finite ? ` · ${s.not_finite} not finite` : "");

  function heat(t) {
    const [rows, columns] = t.corner, cell = Math.max(4, Math.min(14, Math.floor(300 / Math.max(columns, 8))));
    const whole = t.shape.reduce((a, b) => a * b, 1) === rows * columns;
    const canvas = el("canvas", { class: "heat", width: columns, height: rows, role: "img",
      "aria-label": `Colours: ${statistics(t.summary)}` });
    canvas.style.width = `${columns * cell}px`;
    canvas.style.height = `${rows * cell}px`;
    maps.add([canvas, t]);
    paint(canvas, t);
    return [canvas, el("p", { class: "stats" }, statistics(t.summary)),
      whole ? null : el("p", { class: "stats" }, `Drawn: the first ${rows} × ${columns}. Blue is above 0, orange below.`)];
  }

  function figure(label, index, part, note) {
    const t = index === null || index === undefined ? null : tensors[index];
    const caption = el("figcaption", {}, el("strong", {}, label), t ? el("span", { class: "quiet" }, shape(t)) : null,
      part ? el("span", { class: "part" }, part) : null);
    const values = !t ? el("p", { class: "stats" }, note || "not kept") : t.numbers ? table(t) : t.corner ? heat(t) : null;
    return el("figure", { class: "tensor" }, caption, values);
  }

  /* ---- The graph ---- */

  const pathOf = (points) => {
    let d = `M${points[0]} ${points[1]}`;
    for (let i = 2; i < points.length; i += 2) {
      const [x0, y0, x1, y1] = points.slice(i - 2, i + 2), y = i + 2 === points.length ? y1 - 6 : y1;
      d += x0 === x1 ? `V${y}` : `C${x0} ${(y0 + y) / 2} ${x1} ${(y0 + y) / 2} ${x1} ${y}`;
    }
    return d;
  };

  const drawnWays = ways.map((way) => {
    const [x, y] = way.points.slice(-2);
    return { ...way, line: svg("path", { class: "way", d: pathOf(way.points) }),
      head: svg("path", { class: "tip", d: `M${x} ${y}l-4 -8h8z` }) };
  });

  const details = (id) => {
    const node = nodes[id];
    return [`${node.kind === "op" ? node.op : node.kind === "module" ? node.op : node.kind} ${node.name || ""}`.trim(),
      `${node.dtype} [${node.shape.join(", ")}]`, node.module && node.kind !== "module" ? `in ${node.module}` : null,
      node.kind === "module" ? `${node.ops} ops, ${node.parameters} numbers in parameters` : null,
      `values: ${statistics(node.values)}`, node.requires_grad ? `gradient: ${statistics(node.gradient)}` : null,
      node.saved && node.saved.length ? `saves ${node.saved.map((s) => `${s.what} (${s.bytes} B)`).join(", ")}` : null,
      node.rule || null, node.file ? `at ${node.file}:${node.line}` : null].filter(Boolean);
  };

  const pointed = el("div", { class: "pointed", "aria-hidden": "true", hidden: true });
  let under = null; /* the box that is pointed at */
  function place() {
    if (!under) return;
    const at = under.getBoundingClientRect(), own = pointed.getBoundingClientRect();
    pointed.style.left = `${Math.max(8, Math.min(at.right + 10, innerWidth - own.width - 8))}px`;
    pointed.style.top = `${Math.max(8, Math.min(at.top, innerHeight - own.height - 8))}px`;
  }
  function point(id, group) {
    pointed.replaceChildren(...details(id).map((line) => el("p", {}, line)));
    pointed.hidden = false;
    under = group;
    place();
  }
  function unpoint() {
    pointed.hidden = true;
    under = null;
  }

  const drawnBoxes = boxes.map((box, id) => {
    const [x, y, width, height] = box.place;
    const badge = svg("g", { class: "badge" }, svg("rect", { x: x + width - 26, y: y - 9, width: 36, height: 18, rx: 9 }),
      svg("text", { x: x + width - 8, y: y + 4, "font-size": 11, "text-anchor": "middle" }));
    const group = svg("g", { class: `box ${nodes[id].kind}`, tabindex: 0, role: "button", "data-id": id,
      "aria-label": details(id).slice(0, 2).join(", ") },
    svg("rect", { class: "frame", x, y, width, height, rx: nodes[id].kind === "op" ? 8 : 3 }),
    box.lines.map((line, i) => svg("text", { class: i ? null : "name", x: x + width / 2, y: y + 20 + 18 * i,
      "font-size": i ? 12 : 13, "text-anchor": "middle" }, line)), badge);
    group.addEventListener("mouseenter", () => point(id, group));
    group.addEventListener("mouseleave", unpoint);
    group.addEventListener("focus", () => { if (group.matches(":focus-visible")) point(id, group); });
    group.addEventListener("blur", unpoint);
    group.addEventListener("click", () => visit(id));
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      visit(id);
    });
    return { group, badge };
  });

  const picture = svg("svg", { viewBox: `0 0 ${size[0]} ${size[1]}`, width: size[0], height: size[1], role: "group",
    "aria-label": `${graph.title}: ${nodes.length} boxes` },
  drawnWays.map((way) => [way.line, way.head]), drawnBoxes.map((box) => box.group));
  const stage = el("div", { class: "graph card", onscroll: place }, picture);

  /* To the room there is, but no smaller than can be read. */
  function fit() {
    const room = stage.clientWidth, scale = Math.max(0.72, Math.min(1, room / size[0]));
    picture.setAttribute("width", size[0] * scale);
    picture.setAttribute("height", size[1] * scale);
  }

  function show(i) {
    const step = steps[i], seen = new Set(), graded = new Set();
    boxes.forEach((_, id) => { if (!isOp(id)) seen.add(id); });
    for (let s = 1; s <= i; s++)
      (steps[s].phase === "forward" ? seen : graded).add(steps[s].box);
    drawnBoxes.forEach(({ group, badge }, id) => {
      const arrived = parts[id].filter((part) => part.step <= i).length;
      group.setAttribute("class", ["box", nodes[id].kind, seen.has(id) && "seen", graded.has(id) && "graded",
        step.box === id && "now", step.box === id && step.phase === "backward" && "back"].filter(Boolean).join(" "));
      const adding = arrived > 0 && parts[id].length > 1;
      badge.setAttribute("class", adding ? "badge on" : "badge");
      badge.querySelector("text").textContent = adding ? `${arrived}/${parts[id].length}` : "";
    });
    drawnWays.forEach((way) => {
      const live = step.phase === "forward" && way.to === step.box;
      const back = step.phase === "backward" && way.to === step.box && (step.sent || []).some((s) => s.to === way.from);
      const state = live ? " live" : back ? " back" : seen.has(way.to) ? " done" : "";
      way.line.setAttribute("class", "way" + state);
      way.head.setAttribute("class", "tip" + state);
    });
    if (step.box === undefined) return;
    const [x, y, width, height] = boxes[step.box].place, scale = picture.clientWidth / size[0] || 1;
    stage.scrollTo({ left: (x + width / 2) * scale - stage.clientWidth / 2, top: (y + height / 2) * scale - stage.clientHeight / 2,
      behavior: Page.calm() ? "instant" : "smooth" });
  }

  /* ---- The panel ---- */

  const panel = el("section", { class: "panel card", "aria-label": "This step" });
  const head = (text, phase, name) => [el("p", { class: `phase ${phase}` }, text), el("h2", {}, name)];

  function explainForward(i, id) {
    return [head(`Forward ${i} of ${forward.length}`, "", nameOf(id)), el("p", { class: "rule" }, call(id)),
      rule(id).forward ? el("p", { class: "quiet" }, rule(id).forward) : null,
      el("h3", {}, "Reads"), [...new Set(inputsOf(id))].map((input) => figure(nameOf(input), boxes[input].value)),
      nodes[id].inputs.includes(null) ? el("p", { class: "stats" }, "and what the graph does not keep") : null,
      el("h3", {}, "Gives"), figure(nameOf(id), boxes[id].value)];
  }

  function explainArrival(id, i) {
    const all = parts[id].filter((part) => part.step <= i);
    if (all.length < 2) return null;
    return [el("h3", {}, `The sum of ${all.length}`),
      all.map((part) => figure(`from ${nameOf(part.from)}`, part.gradient, `${part.part} of ${part.parts}`))];
  }

  function explainBackward(i, step) {
    const id = step.box, name = nameOf(id), place = `Backward ${i - firstBack + 1} of ${backward.length}`;
    const whole = figure(`d ${name}`, step.gradient);
    if (!isOp(id))
      return [head(place, "back", name), el("p", {}, "Its gradient is whole: this is what a step of training uses."), whole, explainArrival(id, i)];
    return [head(place, "back", name), el("h3", {}, "Comes in"), whole, explainArrival(id, i), el("h3", {}, "Rule"),
      el("p", { class: "rule back" }, rule(id).backward || (nodes[id].kind === "module" ? "the rules of the ops in it" : "the op's own")),
      el("p", { class: "quiet" }, rule(id).forward ? `of ${rule(id).forward}, here ${call(id)}` : `of ${call(id)}`),
      el("h3", {}, "Goes out"), step.sent.map((s) => figure(`to ${nameOf(s.to)}`, s.gradient, `${s.part} of ${s.parts}`))];
  }

  function explain(i) {
    const step = steps[i];
    maps.clear();
    if (step.phase === "start")
      return [head("Start", "", "What is given"), boxes.map((box, id) => isOp(id) ? null : figure(nameOf(id), box.value))];
    return step.phase === "forward" ? explainForward(i, step.box) : explainBackward(i, step);
  }

  /* ---- Control ---- */

  let at = -1, timer = null;
  const slider = el("input", { type: "range", id: "step", min: 0, max: steps.length - 1, value: 0, "aria-label": "Step" });
  const shown = el("output", { for: "step" });
  const button = (id, label, sign, action) => el("button", { id, type: "button", "aria-label": label, title: label, onclick: action }, sign);
  const icon = (d) => svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d }));
  const play = button("play", "Play", "Play", () => toggle());
  const buttons = { first: button("first", "To the start", icon("M2 2h2v12h-2zM14 2v12l-9 -6z"), () => go(0)),
    back: button("back", "A step back", icon("M12 2v12l-9 -6z"), () => go(at - 1)),
    next: button("next", "A step on", icon("M4 2v12l9 -6z"), () => go(at + 1)),
    last: button("last", "To the end", icon("M12 2h2v12h-2zM2 2v12l9 -6z"), () => go(steps.length - 1)) };

  function go(i, quietly) {
    const to = Math.max(0, Math.min(steps.length - 1, i));
    if (to === at) return;
    at = to;
    slider.value = at;
    slider.setAttribute("aria-valuetext", told(at));
    shown.textContent = `${at} of ${steps.length - 1}`;
    buttons.first.disabled = buttons.back.disabled = at === 0;
    buttons.next.disabled = buttons.last.disabled = at === steps.length - 1;
    panel.replaceChildren(...explain(at).flat(Infinity).filter(Boolean));
    panel.scrollTop = 0;
    show(at);
    Page.state.set({ step: at || null });
    if (!quietly && document.activeElement !== slider) Page.say(told(at));
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.replaceChildren("Play");
    play.setAttribute("aria-label", "Play");
  }

  function toggle() {
    if (timer) return stop();
    if (at === steps.length - 1) go(0);
    timer = setInterval(() => (at === steps.length - 1 ? stop() : go(at + 1)), 1500);
    play.replaceChildren("Stop");
    play.setAttribute("aria-label", "Stop");
  }

  /* The step of a box, of the phase that is shown. */
  function visit(id) {
    const back = at >= firstBack, first = stepOf[back ? "backward" : "forward"].get(id);
    const step = first ?? stepOf[back ? "forward" : "backward"].get(id);
    if (step !== undefined) go(step);
  }

  const asked = () => Math.floor(Number(Page.state.get("step", 0))) || 0;

  slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const on = event.target, moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: steps.length - 1 };
    if (event.key === " " && on.tagName !== "BUTTON") toggle();
    else if (event.key in moves && on !== slider) { stop(); go(moves[event.key]); }
    else return;
    event.preventDefault();
  });

  const key = (name) => el("kbd", {}, name);
  document.getElementById("main").replaceChildren(
    el("p", { class: "quiet" }, "Values flow down; gradients flow back up and add up where ways meet. ", key("→"), " and ", key("←"),
      " step, ", key("Space"), " plays, ", key("Home"), " and ", key("End"), " jump. A box shows what is known of it; pressed, it shows its step."),
    el("div", { class: "controls" }, el("div", { class: "buttons" }, buttons.first, buttons.back, play, buttons.next, buttons.last), slider, shown),
    el("div", { class: "stage" }, stage, panel), pointed);
  Page.onTheme(() => maps.forEach(([canvas, t]) => paint(canvas, t)));
  addEventListener("resize", () => { fit(); show(at); });
  addEventListener("hashchange", () => go(asked()));
  fit();
  go(asked(), true);
})();
