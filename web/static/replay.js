// @ts-check
/**
 * The recorder. The tracker loads it where a session is to be recorded; it records what the page shows and what is done
 * there with rrweb, and sends it in chunks. What people type is masked before anything is sent.
 *
 * A chunk goes every few seconds, or as soon as it is so large that a beacon could not carry it: so what is left when
 * the page ends always fits one. Chunks are numbered through the session, across the pages of its tab, so that one that
 * arrives twice counts once. A tab that was copied from another finds a page at work in what it keeps, and is a tab of
 * its own from there on.
 *
 * @typedef {{id: string, tab: string, next: number, until: number, open?: number, off?: boolean}} Session
 *     what the tab keeps: the session recorded and which tab of it this is, its next chunk's number, when its time is
 *     over, which page is at work, whether it was ended
 * @typedef {{number: number, body: string, tries: number, zipped?: Blob}} Chunk
 */
import { record } from "@rrweb/record";

(() => {
  const EVERY_MS = 4000;
  const SNAPSHOT_EVERY_MS = 30_000;
  const BEACON_BYTES = 60_000;
  const FULL_BYTES = 40_000;
  const WAITING_MOST = 40;
  const TRIES = 6;
  const KEPT = "analytics_replay";
  const me = Math.random();

  const { key, api, on, view, skip } = /** @type {any} */ (window).analytics._;
  /** @type {string[]} */
  let events = [];
  let bytes = 0;
  /** @type {Chunk[]} */
  const waiting = [];
  /** @type {Session} */
  let session;
  let visitor = "";
  /** @type {(() => void) | undefined} */
  let stop;
  let sending = false;
  /** @type {any} */
  let timer = 0;

  function keep() {
    sessionStorage[KEPT] = JSON.stringify(session);
  }

  /** Begin with the first view that is to be recorded; tell of each one that follows. @param {any} seen */
  function viewed({ path, answer }) {
    const wanted = answer.capture?.replay;
    if (answer.ignored || skip(path) || (wanted && !answer.session_id)) return end();
    if (!wanted) return stop && answer.event_id && end();
    if (stop) return record.addCustomEvent("page", { path });
    try {
      session = JSON.parse(sessionStorage[KEPT] || "{}");
      if (session.id !== answer.session_id) session = { id: answer.session_id, until: Date.now() + wanted.max_s * 1000 };
      if (session.open || !session.tab) {
        session.tab = Math.random().toString(36).slice(2) + Date.now().toString(36);
        session.next = 0;
      }
      session.open = me;
      keep();
    } catch (_) {
      return; // without storage, the next page could not number its chunks
    }
    if (session.off || Date.now() > session.until) return;
    visitor = answer.visitor_id;
    stop = record({
      emit: take,
      checkoutEveryNms: SNAPSHOT_EVERY_MS,
      maskAllInputs: true,
      maskInputFn: (text, element) =>
        element?.matches("[data-analytics-unmask]") && !/password/i.test(element.getAttribute("type") || "") ? text : "*".repeat(text.length),
      maskTextSelector: "[data-analytics-mask]",
      blockSelector: "[data-analytics-block]",
      slimDOMOptions: "all",
      sampling: { input: "last", scroll: 150, media: 800 },
    });
  }

  /** @param {unknown} event */
  function take(event) {
    if (Date.now() > session.until) {
      pack();
      return close();
    }
    const text = JSON.stringify(event);
    const size = text.length > FULL_BYTES ? FULL_BYTES : new Blob([text]).size;
    if (bytes + size > FULL_BYTES) pack();
    events.push(text);
    bytes += size;
    if (bytes >= FULL_BYTES) pack();
    else timer ||= setTimeout(pack, EVERY_MS);
  }

  /** Make a chunk of what there is, and number it. */
  function pack() {
    clearTimeout(timer);
    timer = 0;
    if (!events.length) return;
    session = JSON.parse(sessionStorage[KEPT]); // a page that comes back from the browser's cache was overtaken
    const number = session.next++;
    keep();
    const head = JSON.stringify({ key, visitor_id: visitor, session_id: session.id, tab: session.tab, sequence: number });
    waiting.push({ number, body: head.slice(0, -1) + ',"events":[' + events + "]}", tries: 0 });
    events = [];
    bytes = 0;
    if (waiting.length > WAITING_MOST) end();
    else send();
  }

  /** Send what waits, one after the other, each until it is stored or refused. */
  async function send() {
    if (sending) return;
    sending = true;
    for (let chunk; (chunk = waiting[0]); ) {
      chunk.zipped ||= await zip(chunk.body);
      const pause = await attempt(chunk);
      if (!pause) waiting.shift();
      else if (++chunk.tries > TRIES) end();
      else await new Promise((go) => setTimeout(go, pause));
    }
    sending = false;
  }

  /** Gzip is known by its first bytes: a header that says so would ask for a preflight. @param {string} body */
  function zip(body) {
    const plain = new Blob([body]);
    return self.CompressionStream ? new Response(plain.stream().pipeThrough(new CompressionStream("gzip"))).blob() : plain;
  }

  /** Send a chunk once; returns how many milliseconds to wait before it is sent again, 0 where it is done.
   * @param {Chunk} chunk */
  async function attempt({ zipped, tries }) {
    try {
      const body = /** @type {Blob} */ (zipped);
      // A request that may outlive the page is small; some browsers refuse it where others are under way.
      const keepalive = body.size < BEACON_BYTES && !tries;
      const response = await fetch(api + "/replay", { method: "POST", body: new Blob([body]), keepalive, credentials: "omit" });
      if (/^5|429/.test("" + response.status)) return Math.min(+(response.headers.get("Retry-After") || 0) * 1000, 60_000) || 2000;
      if (!response.ok || (await response.json()).ignored) end();
      return 0;
    } catch (_) {
      return tries ? 1000 * 2 ** tries : 1;
    }
  }

  /** The page is hidden or ends: hand everything over, what is under way too. The same number counts once. */
  function hurry() {
    pack();
    for (const { body, zipped } of waiting) {
      const small = zipped || new Blob([body]);
      if (small.size < BEACON_BYTES) navigator.sendBeacon?.(api + "/replay", new Blob([small]));
    }
  }

  /** Record no more of this session; what is recorded is sent. */
  function close() {
    stop?.();
    stop = undefined;
    if (session) {
      session.off = true;
      keep();
    }
  }

  /** Record no more of this session, and send nothing more. */
  function end() {
    close();
    events = [];
    waiting.length = bytes = 0;
    clearTimeout(timer);
  }

  /** @param {unknown} reason */
  function failed(reason) {
    if (stop) record.addCustomEvent("error", { message: String(reason).slice(0, 200) });
  }

  addEventListener("error", ({ message }) => message && failed(message));
  addEventListener("unhandledrejection", ({ reason }) => failed(reason?.message || reason));
  addEventListener("visibilitychange", () => document.hidden && stop && hurry(), true);
  /** Note whether this page is at work: who copies what the tab keeps meanwhile is another tab. A page may be told that
   * it is left only when the next one has begun. @param {boolean} open */
  function mark(open) {
    session = JSON.parse(sessionStorage[KEPT]);
    if (open) session.open = me;
    else if (session.open === me) session.open = 0;
    keep();
  }

  addEventListener("pagehide", () => stop && (hurry(), mark(false)), true);
  addEventListener("pageshow", ({ persisted }) => persisted && stop && (mark(true), record.takeFullSnapshot(true)));
  on.push(viewed);
  const seen = view();
  if (seen?.answer) viewed(seen);
})();
