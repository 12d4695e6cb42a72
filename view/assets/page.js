"use strict";
/* What all pages share. */
const Page = (() => {
  const svgNames = "http://www.w3.org/2000/svg";
  const data = JSON.parse(document.getElementById("data").textContent);
  const live = document.getElementById("live");

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children.flat(Infinity))
      if (child !== null && child !== undefined)
        element.append(child instanceof Node ? child : document.createTextNode(String(child)));
    return element;
  }

  /* el("p", { class: "quiet", onclick: f }, "text", [nodes]): text stays text. */
  const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) => fill(document.createElementNS(svgNames, tag), attributes, children);

  /* A number as JSON could hold it. */
  const special = { nan: NaN, inf: Infinity, "-inf": -Infinity };
  const real = (x) => (typeof x === "string" ? special[x] : x === null || x === undefined ? NaN : x);

  /* The bytes of a blob: a promise of a Uint8Array. */
  async function blob(text) {
    const bytes = atob(text), packed = new Uint8Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) packed[i] = bytes.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /* Four digits that mean something, and a true minus. */
  function number(x, digits = 4) {
    if (x === null || x === undefined) return "–";
    if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞";
    if (x === 0) return "0";
    const size = Math.abs(x);
    const text = size >= 1e6 || size < 1e-4 ? x.toExponential(digits - 1)
      : Number.isInteger(x) ? String(x)
      : x.toPrecision(Math.max(digits, Math.floor(Math.log10(size)) + 1));
    return text.replace(/-/g, "−");
  }

  /* Spoken by screen readers; the same twice in a row too. */
  function say(text) {
    live.textContent = "";
    requestAnimationFrame(() => { live.textContent = text; });
  }

  /* What is looked at, in the address: #layer=1&head=2. */
  const state = {
    get(name, fallback) {
      const value = new URLSearchParams(location.hash.slice(1)).get(name);
      return value === null ? fallback : value;
    },
    set(values) {
      const all = new URLSearchParams(location.hash.slice(1));
      for (const [name, value] of Object.entries(values))
        if (value === null || value === undefined || value === "") all.delete(name);
        else all.set(name, value);
      history.replaceState(null, "", "#" + all.toString());
    },
  };

  /* Gives the reader a file. */
  function save(name, content) {
    const link = el("a", { href: URL.createObjectURL(content), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  /* A colour of page.css by its role, as it is now. */
  const colour = (role) => getComputedStyle(document.documentElement).getPropertyValue("--" + role).trim();
  /* Called when light turns dark or back. */
  const onTheme = (call) => matchMedia("(prefers-color-scheme: dark)").addEventListener("change", call);
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  return { data, el, svg, real, blob, number, say, state, save, colour, onTheme, calm };
})();
