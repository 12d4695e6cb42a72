"use strict";
/* What a page of attention holds: layers with their weights, masks and texts. Numbers are asked for
 * by sample, head, query and key. */
const Attention = (() => {
  /* ---- Numbers from bytes ---- */

  const single = (bytes) => new Float32Array(bytes.buffer, 0, bytes.length / 4);

  /* All low bytes, then all high ones. */
  function steps(bytes) {
    const count = bytes.length / 2, out = new Uint16Array(count);
    for (let i = 0; i < count; i++) out[i] = bytes[i] | bytes[count + i] << 8;
    return out;
  }

  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
  }

  /* Weights with what their unit is: 1, or a step of 1/65535. */
  async function weights(text, precision) {
    const bytes = await Page.blob(text);
    return precision === "f32" ? { values: single(bytes), unit: 1 } : { values: steps(bytes), unit: 1 / 65535 };
  }

  async function vectors(text, precision) {
    const bytes = await Page.blob(text);
    return precision === "f32" ? single(bytes) : Float32Array.from(new Uint16Array(bytes.buffer), half);
  }

  /* ---- A layer ---- */

  class Layer {
    constructor(told, number) {
      this.told = told;
      this.number = number;
      this.name = told.name;
      [this.samples, this.heads, this.queries, this.keys] = told.size;
      this.exact = told.precision === "f32";
    }

    async load() {
      const { told } = this;
      this.weights = await weights(told.weights, told.precision);
      this.other = told.baseline && await weights(told.baseline, told.precision);
      this.bits = told.visible && await Page.blob(told.visible.bits);
      this.leaks = new Map(told.verdicts.masked.first.map((leak) => [this.at(...leak), Page.real(leak[4])]));
      this.countSeen();
    }

    at(sample, head, query, key) {
      return ((sample * this.heads + head) * this.queries + query) * this.keys + key;
    }

    /* Where a row's bits start: samples and heads that see alike share them. */
    bitsAt(sample, head, query) {
      const { samples, heads } = this.told.visible;
      return (((samples > 1 ? sample : 0) * heads + (heads > 1 ? head : 0)) * this.queries + query) * this.keys;
    }

    sees(sample, head, query, key) {
      if (!this.bits) return true;
      const at = this.bitsAt(sample, head, query) + key;
      return (this.bits[at >> 3] >> (at & 7) & 1) === 1;
    }

    countSeen() {
      if (!this.bits) return;
      const rows = this.told.visible.samples * this.told.visible.heads * this.queries;
      this.counts = new Uint32Array(rows);
      for (let row = 0, at = 0; row < rows; row++)
        for (let j = 0; j < this.keys; j++, at++) this.counts[row] += this.bits[at >> 3] >> (at & 7) & 1;
    }

    /* How many keys a query sees. */
    seen(sample, head, query) {
      return this.bits ? this.counts[this.bitsAt(sample, head, query) / this.keys] : this.keys;
    }

    /* A weight that leaked past the mask is known exactly. */
    weight(sample, head, query, key) {
      const at = this.at(sample, head, query, key);
      const leak = this.leaks.size ? this.leaks.get(at) : undefined;
      return leak === undefined ? this.weights.values[at] * this.weights.unit : leak;
    }

    isLeak(sample, head, query, key) {
      return !this.sees(sample, head, query, key) && this.weight(sample, head, query, key) !== 0;
    }

    uniform(sample, head, query, key) {
      return this.sees(sample, head, query, key) ? 1 / this.seen(sample, head, query) : 0;
    }

    /* The weight, or its difference to what is chosen: "weights", "uniform", "baseline". */
    value(show, sample, head, query, key) {
      const weight = this.weight(sample, head, query, key);
      if (show === "uniform") return weight - this.uniform(sample, head, query, key);
      if (show === "baseline" && this.other)
        return weight - this.other.values[this.at(sample, head, query, key)] * this.other.unit;
      return weight;
    }

    /* A head whole, for painting: each pair's value, how it looks (0 masked, 1 seen, 2 a leak), and the largest
     * magnitude. */
    matrix(show, sample, head) {
      const { queries, keys } = this, count = queries * keys, first = this.at(sample, head, 0, 0);
      const { values, unit } = this.weights, other = show === "baseline" && this.other;
      const out = new Float32Array(count), looks = new Uint8Array(count);
      let most = 0;
      for (let i = 0, n = 0; i < queries; i++) {
        const seen = this.seen(sample, head, i), share = show === "uniform" && seen ? 1 / seen : 0;
        let bit = this.bits ? this.bitsAt(sample, head, i) : 0;
        for (let j = 0; j < keys; j++, n++, bit++) {
          const sees = !this.bits || (this.bits[bit >> 3] >> (bit & 7) & 1), weight = values[first + n];
          looks[n] = sees ? 1 : weight !== 0 ? 2 : 0;
          const x = weight * unit - (sees ? share : 0) - (other ? other.values[first + n] * other.unit : 0);
          out[n] = x;
          const size = x < 0 ? -x : x;
          if (size > most && size < Infinity) most = size;
        }
      }
      return { values: out, looks, most };
    }

    /* The row's values as one array. */
    row(show, sample, head, query) {
      return Float64Array.from({ length: this.keys }, (_, j) => this.value(show, sample, head, query, j));
    }

    async loadVectors() {
      const told = this.told.vectors;
      if (!told || this.query) return;
      this.width = told.width;
      this.valueWidth = told.valueWidth;
      this.keyHeads = told.keyHeads;
      this.scale = Page.real(told.scale);
      this.softcap = Page.real(told.softcap);
      [this.query, this.key, this.value_] = await Promise.all(
        [told.query, told.key, told.value].map((text) => vectors(text, told.precision)));
    }

    queryVector(sample, head, query) {
      const at = ((sample * this.heads + head) * this.queries + query) * this.width;
      return this.query.subarray(at, at + this.width);
    }

    /* Heads of queries that follow each other share a head of the keys. */
    ofKey(values, width, sample, head, key) {
      const shared = Math.floor(head / (this.heads / this.keyHeads));
      const at = ((sample * this.keyHeads + shared) * this.keys + key) * width;
      return values.subarray(at, at + width);
    }

    keyVector(sample, head, key) { return this.ofKey(this.key, this.width, sample, head, key); }
    valueVector(sample, head, key) { return this.ofKey(this.value_, this.valueWidth, sample, head, key); }

    /* ---- Texts ---- */

    text(list, sample, position) {
      return list === null || list === undefined ? null : Page.data.texts[list][sample][position];
    }

    queryText(sample, query) { return this.text(this.told.queries, sample, query); }

    keyText(sample, key) {
      const own = this.keys - this.told.appended;
      return key < own ? this.text(this.told.keys, sample, key) : `appended ${key - own + 1}`;
    }

    /* As a label: the text with its spaces shown, or the position. */
    queryLabel(sample, query) { return label(this.queryText(sample, query), query); }
    keyLabel(sample, key) { return label(this.keyText(sample, key), key); }

    /* "query 3 “a”" */
    queryName(sample, query) { return named("query", this.queryText(sample, query), query); }
    keyName(sample, key) { return named("key", this.keyText(sample, key), key); }

    get precision() {
      return this.exact ? "exact to f32" : "to 0.000008; what is not 0 is at least 0.000015";
    }

    format(x) {
      if (!Number.isFinite(x) || x === 0) return Page.number(x);
      return Page.number(this.exact || Math.abs(x) < 1e-4 ? x : Math.round(x * 1e6) / 1e6, this.exact ? 7 : 5);
    }
  }

  const visible = (text) => text === "" ? "(empty)" : text.replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length));
  const label = (text, position) => text === null ? String(position) : visible(text);
  const named = (kind, text, position) => `${kind} ${position}` + (text === null ? "" : ` “${visible(text)}”`);
  const short = (text, most = 12) => [...text].length > most ? [...text].slice(0, most - 1).join("") + "…" : text;

  const layers = Page.data.layers.map((told, i) => new Layer(told, i));
  const load = () => Promise.all(layers.map((layer) => layer.load()));

  return { layers, load, short, samples: layers[0].samples, heads: Math.max(...layers.map((l) => l.heads)) };
})();
