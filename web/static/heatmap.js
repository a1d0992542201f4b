// @ts-check
/**
 * What heatmaps are made of: clicks, where the mouse was four times a second, and how far down a page was seen. The
 * tracker loads this where the service wants it (docs/tracker.md), and only then.
 *
 * Samples go out every few seconds, sooner where there are many, and when the page is hidden or left. Each call has an
 * id and is sent again until the service has it; it counts once. What is typed is never looked at.
 *
 * @typedef {{path: string, answer?: {visitor_id?: string, session_id?: string, capture?: {heatmap?: string[]}}}} View
 * @typedef {Record<string, string | number>} Sample
 * @typedef {{body: object, tries: number, flying?: boolean}} Parcel
 */
(() => {
  const EVERY_MS = 5000;
  const MOVES_EVERY_MS = 250;
  const MANY = 150; // some 30 kB: what is still there when the page is left goes into a beacon
  const WORTH_ZIPPING = 1000;
  const TRIES = 5;

  /** @type {{key: string, api: string, view: () => View | undefined, skip: (path: string) => unknown,
   *   beacon: (kind: string, body: object) => void}} */
  const tracker = /** @type {any} */ (window).analytics._;

  /** @type {View | undefined} */
  let view;
  let place = ""; // where the view began: what happens after a change of address belongs to the next one
  let seen = 0;
  let told = 0; // of what was seen
  /** @type {MouseEvent | undefined} */
  let mouse;
  /** @type {Sample[]} */
  let samples = [];
  /** @type {Set<Parcel>} */
  const parcels = new Set();

  /** Whether the view is the one that began here; of another, what was sampled so far is put up first. */
  function here() {
    if (view !== tracker.view()) {
      pack();
      view = tracker.view();
      place = location.pathname;
      seen = told = 0;
    }
    return view && place === location.pathname;
  }

  /** Keep a sample; nothing is returned where none is wanted.
   * @param {string} type @param {number} x @param {number} y @param {unknown} [target] */
  function sample(type, x, y, target) {
    if (!here() || !view?.answer?.capture?.heatmap?.includes(type)) return;
    const { scrollWidth, scrollHeight } = document.scrollingElement || document.documentElement;
    samples.push({
      type,
      path: view.path,
      x: Math.max(0, x),
      y: Math.max(0, y),
      viewport_width: innerWidth,
      viewport_height: innerHeight,
      page_width: scrollWidth,
      page_height: scrollHeight,
      selector: target instanceof Element ? selector(target) : "",
      at: Date.now(),
    });
    if (samples.length === MANY) flush();
    return true;
  }

  /** A short name: the element's tag with its id or classes, below those around it up to one with an id.
   * @param {Element | null} element */
  function selector(element) {
    /** @type {string[]} */
    const names = [];
    while (element && names.length < 3) {
      const id = element.getAttribute("id");
      const classes = element.getAttribute("class")?.match(/[\w-]+/g) || [];
      names.unshift([element.localName + (id ? "#" + id : ""), ...(id ? [] : classes.slice(0, 2))].join("."));
      element = id ? null : element.parentElement;
    }
    return names.join(" > ");
  }

  /** Put what was sampled of the view into a parcel, unless its visitor has left themselves out meanwhile. */
  function pack() {
    if (view && samples.length && !tracker.skip(view.path)) {
      const id = "00000000-0000-4000-a000-000000000000".replace(/0/g, () => ((Math.random() * 16) | 0).toString(16));
      const { visitor_id, session_id } = /** @type {any} */ (view.answer);
      parcels.add({ body: { key: tracker.key, id, visitor_id, session_id, samples }, tries: 0 });
    }
    samples = [];
  }

  function flush() {
    putReach();
    pack();
    parcels.forEach(send);
  }

  /** Send until it is stored, refused, or tried often enough. @param {Parcel} parcel */
  async function send(parcel) {
    if (parcel.flying) return;
    parcel.flying = true;
    let again = ++parcel.tries < TRIES;
    try {
      /** @type {BodyInit} */
      let body = JSON.stringify(parcel.body);
      /** @type {Record<string, string>} */
      const headers = {};
      if (self.CompressionStream && body.length > WORTH_ZIPPING) {
        body = await new Response(new Response(body).body?.pipeThrough(new CompressionStream("gzip"))).blob();
        headers["Content-Encoding"] = "gzip";
      }
      const { status } = await fetch(tracker.api + "/heatmap", { method: "POST", body, headers, credentials: "omit" });
      again &&= /^5|429/.test(/** @type {any} */ (status));
    } catch (_) {}
    parcel.flying = false;
    if (!again) parcels.delete(parcel);
  }

  /** The page is hidden or ends: hand everything over. What is under way may be cut off; it counts once all the same. */
  function leave() {
    look();
    putReach();
    pack();
    parcels.forEach((parcel) => tracker.beacon("heatmap", parcel.body));
    parcels.clear();
  }

  function putReach() {
    if (seen > told && sample("scroll", 0, seen)) told = seen;
  }

  function look() {
    if (here()) seen = Math.max(seen, scrollY + innerHeight);
  }

  /** @param {string} name @param {(event: any) => void} listener */
  const on = (name, listener) => addEventListener(name, listener, true);
  on("click", (click) => click.detail && sample("click", click.pageX, click.pageY, click.target)); // not by keyboard
  on("pointermove", (move) => move.pointerType === "mouse" && (mouse = move));
  on("scroll", look);
  on("visibilitychange", () => document.hidden && leave());
  on("pagehide", leave);
  setInterval(() => {
    if (mouse) sample("move", mouse.pageX, mouse.pageY, mouse.target);
    mouse = undefined;
  }, MOVES_EVERY_MS);
  setInterval(() => {
    look();
    flush();
  }, EVERY_MS);
  look();
})();
