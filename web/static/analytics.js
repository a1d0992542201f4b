// @ts-check
/**
 * The tracker. One line on a page reports its views, the time spent on them and what is done there:
 *
 *     <script defer data-key="PIXEL-KEY" src="https://analytics.example/js/analytics.js"></script>
 *
 * It keeps nothing in the browser and sets no cookie unless the tag says data-mode="full". What each attribute and
 * function does is told in docs/tracker.md. This file is minified when the service is built; read it here.
 *
 * How it thinks: a *view* is one page seen by somebody: it begins when the page is visible, and ends with a change of
 * path, or with the page. Its totals (seconds engaged, deepest percent scrolled) are sent as totals, so a report that
 * is lost or arrives twice changes nothing. Views and events carry an id of their own and are sent again until the
 * service says that it has them.
 *
 * @typedef {string | number | boolean} Scalar
 * @typedef {Record<string, Scalar>} Properties
 * @typedef {{value?: number, currency?: string, interactive?: boolean, path?: string}} EventOptions
 * @typedef {{path?: string, title?: string, referrer?: string, properties?: Properties}} ViewOptions
 *
 * @typedef {object} Payload  what /track and /event take; visitor_id and session_id are added when it is sent
 * @property {string} key
 * @property {string} id  the same in every attempt, so that it counts once
 * @property {string} host
 * @property {string} path
 * @property {Properties} [properties]
 * @property {string} [type]
 * @property {string} [name]
 * @property {string} [title]
 * @property {string} [referrer]
 * @property {number} [screen_width]
 * @property {number} [screen_height]
 * @property {string} [language]
 * @property {number} [value]
 * @property {string} [currency]
 * @property {boolean} [interactive]
 *
 * @typedef {{event_id?: number, visitor_id?: string, session_id?: string, ignored?: string, error?: string,
 *   capture?: Record<string, unknown>}} Answer
 *
 * @typedef {object} Sending  a payload on its way
 * @property {string} kind  track or event
 * @property {Payload} body
 * @property {(answer: Answer) => void} [done]  called once, whatever came of it
 * @property {number} tries
 * @property {boolean} flying  a request is under way, as against waiting for its turn
 *
 * @typedef {object} View
 * @property {string} path
 * @property {Answer} [answer]  the service's, with the ids it gave
 * @property {number} engaged  milliseconds
 * @property {number} reach  the lowest pixel seen
 * @property {number} seconds  as last reported
 * @property {number} depth  as last reported, percent
 */
(() => {
  const IDLE_MS = 60_000; // without any input, a reader is taken to have left the desk
  const FORGET_MS = 1_800_000; // a session is over then, and the service makes the next one's ids
  const FIRST_REPORT_S = 15;
  const SLOWEST_REPORT_S = 60;
  const SETTLE_MS = 100; // routers redirect, and set the title, just after a change of path
  const TRIES = 5;
  const FILES =
    "pdf|xlsx?|docx?|pp[st]x?|key|txt|rtf|csv|7z|zip|rar|gz|dmg|pkg|exe|msi|apk|epub|avi|mov|mp[34g]|mpeg|wmv|wav|wma";

  const script = /** @type {HTMLScriptElement | null} */ (
    document.currentScript || document.querySelector("script[data-key]")
  );
  const stub = /** @type {any} */ (window).analytics || {};
  if (!script || stub._) return;

  const source = new URL(script.src);
  const key = /** @type {string} */ (option("key") || source.searchParams.get("key"));
  const api = option("api") || source.origin + "/analytics";
  const full = option("mode") === "full";
  const load = /** @type {any} */ (performance.getEntriesByType("navigation")[0] || {});

  /** @type {View | undefined} */
  let view;
  /** @type {Set<Sending>} */
  const sendings = new Set();
  let visitor = kept("localStorage", "analytics_visitor");
  let session = kept("sessionStorage", "analytics_session");
  let started = false;
  let refused = false; // the service knows no such key, or counts nothing for it
  let left = false;
  /** @type {((view: View) => void)[]} */
  const listeners = []; // of further scripts, called with each view once it has its answer
  /** @type {Record<string, string>} */
  const loaded = {};
  let sentAt = 0;
  let lastUrl = document.referrer;
  let automatic = ""; // the path of the last view that began by itself
  /** @type {any} */
  let settling = 0;

  // --- Settings and small things

  /** @param {string} name */
  function option(name) {
    return /** @type {HTMLScriptElement} */ (script).getAttribute("data-" + name);
  }

  /** Whether an attribute stands there and is not "false". @param {string} name @param {boolean} [otherwise] */
  function is(name, otherwise) {
    const value = option(name);
    return value === null ? otherwise : value !== "false";
  }

  function uuid() {
    // crypto.randomUUID wants https.
    return "00000000-0000-4000-a000-000000000000".replace(/0/g, () => (crypto.getRandomValues(new Uint8Array(1))[0] & 15).toString(16));
  }

  /** An id in the browser's storage, made where there is none; undefined where none is wanted or storage is refused.
   * @param {"localStorage" | "sessionStorage"} storage @param {string} name */
  function kept(storage, name) {
    try {
      if (full) return window[storage][name] ||= uuid();
    } catch (_) {}
  }

  /** The attributes behind a prefix, as properties. @param {Element} element @param {string} prefix */
  function attributes(element, prefix) {
    /** @type {Properties} */
    const found = {};
    for (const { name, value } of element.attributes) {
      if (name.startsWith(prefix)) found[name.replace(prefix, "").replace(/-/g, "_")] = value;
    }
    return found;
  }

  /** Whether a text matches one of the comma-separated globs. @param {string} globs @param {string} text */
  function matches(globs, text) {
    return globs.split(",").some((glob) => {
      const pattern = glob.trim().replace(/[.+?^${}()|[\]\\]/g, "\\$&");
      return RegExp("^" + pattern.replace(/\*+/g, (stars) => (stars[1] ? ".*" : "[^/]*")) + "/?$").test(text);
    });
  }

  /** @param {string} host */
  function isLocal(host) {
    return /^(localhost|127[.\d]+|\[::1]|)$/.test(host);
  }

  function path() {
    return location.pathname + (is("query") ? location.search : "") + (is("hash") ? location.hash : "");
  }

  function visible() {
    return !document.hidden;
  }

  /** Why nothing is to be counted here, or nothing. @param {string} where */
  function skip(where) {
    if (!key) return "data-key";
    if (refused) return "refused";
    try {
      if ((localStorage.analytics_ignore || "false") !== "false") return "analytics_ignore";
    } catch (_) {}
    if (self !== top && !is("frames")) return "frame";
    // Somebody who tries the service at home is to see it work; a developer's page is not to reach a public one.
    if (isLocal(location.hostname) && !is("local", isLocal(source.hostname) && location.protocol !== "file:")) return "localhost";
    if (!matches(option("domains") || "**", location.hostname)) return "data-domains";
    if (!matches(option("include") || "**", where)) return "data-include";
    if (matches(option("exclude") || "none", where)) return "data-exclude";
  }

  // --- Sending

  /** Hand a small payload to the browser, to be sent even when the page is gone. @param {string} kind @param {object} body */
  function beacon(kind, body) {
    navigator.sendBeacon?.(api + "/" + kind, JSON.stringify(body)) || request(kind, body).catch(() => {});
  }

  /** A string as body makes it text/plain, which asks for no preflight. @param {string} kind @param {object} body */
  function request(kind, body) {
    return fetch(api + "/" + kind, { method: "POST", body: JSON.stringify(body), keepalive: true, credentials: "omit" });
  }

  /** @param {Payload} body */
  function signed(body) {
    sentAt = Date.now();
    return { ...body, visitor_id: visitor, session_id: session };
  }

  /** Send until it is stored, refused, or tried often enough. @param {Sending} sending */
  function send(sending) {
    sending.flying = true;
    sending.tries++;
    let pause = 2 ** sending.tries + Math.random();
    request(sending.kind, signed(sending.body))
      .then((response) => {
        if (/^5|429/.test(/** @type {any} */ (response.status))) {
          pause = Math.max(pause, Math.min(+(/** @type {any} */ (response.headers.get("Retry-After"))) || 0, 60));
          throw response;
        }
        refused = /40[34]/.test(/** @type {any} */ (response.status));
        return response.json();
      })
      .then(
        (answer) => finish(sending, answer),
        () => {
          sending.flying = false;
          if (sending.tries < TRIES) setTimeout(() => sendings.has(sending) && send(sending), pause * 1000);
          else finish(sending, {});
        },
      );
  }

  /** @param {Sending} sending @param {Answer} answer */
  function finish(sending, answer) {
    if (!sendings.delete(sending)) return;
    if (answer.error) console.warn("analytics:", answer.error);
    sending.done?.(answer);
  }

  /** Send a view or an event; an event waits for its view's answer, which names the session.
   * @param {string} kind @param {string} where @param {object} more @param {(answer: Answer) => void} [done] */
  function deliver(kind, where, more, done) {
    // The service makes ids by the day; a tab that stays open for a week must not be followed through it.
    if (!full && Date.now() > sentAt + FORGET_MS) visitor = session = undefined;
    const body = { key, id: uuid(), host: location.hostname, path: where, ...more };
    const sending = { kind, body, done, tries: 0, flying: false };
    sendings.add(sending);
    if (kind === "track" || !view || view.answer) send(sending);
    if (!visible()) hurry();
  }

  /** Hand over what waits for its turn: there may be no other. The same id twice counts once. */
  function hurry() {
    for (const sending of sendings) {
      if (sending.flying && "keepalive" in Request.prototype) continue;
      beacon(sending.kind, signed(sending.body));
      finish(sending, {});
    }
  }

  // --- Views

  /** Begin a view. @param {ViewOptions} [options] */
  function pageview(options = {}) {
    const where = options.path || path();
    report();
    view = undefined;
    const reason = skip(where);
    if (reason) return console.warn("analytics:", reason);

    /** @type {Record<string, string>} */
    const campaign = {};
    new URLSearchParams(location.search).forEach((value, name) => {
      if (/^(utm_source|source|ref)$/.test(name)) campaign.utm_source ||= value;
      if (/^utm_(medium|campaign|term|content)$/.test(name)) campaign[name] = value;
    });
    /** @type {View} */
    const begun = { path: where, engaged: 0, reach: innerHeight, seconds: 0, depth: 0 };
    view = begun;
    deliver(
      "track",
      where,
      {
        type: "pageview",
        title: document.title,
        webdriver: navigator.webdriver || undefined,
        referrer: lastUrl,
        ...campaign,
        screen_width: screen.width,
        screen_height: screen.height,
        language: navigator.language,
        ...options,
        properties: scalars(options.properties),
      },
      (answer) => {
        begun.answer = answer;
        if (!full) {
          visitor = answer.visitor_id || visitor;
          session = answer.session_id || session;
        }
        sendings.forEach((sending) => sending.tries || send(sending));
        if (view === begun && !visible()) report();
        for (const name in answer.capture) extend(name);
        listeners.forEach((listener) => listener(begun));
      },
    );
    lastUrl = location.href;
  }

  /** The path may have changed. */
  function moved() {
    if (!started || path() === automatic) return;
    report();
    settling ||= setTimeout(settle, SETTLE_MS);
  }

  /** Begin the view that a change of path announced. */
  function settle() {
    if (settling && path() !== automatic) arrive();
    settling = 0;
  }

  /** Begin the view of the page as it is. */
  function arrive() {
    automatic = path();
    if (is("auto", true)) pageview();
  }

  // --- Further scripts: docs/tracker.md tells what they are given

  /** Load a script of this script's own place, once. @param {string} name */
  function extend(name) {
    loaded[name] ||= document.head.appendChild(document.createElement("script")).src = new URL(name + ".js", source).href;
  }

  // --- Totals of a view: engaged is visible, in focus, and with an input in the last minute

  let clock = Date.now();
  let input = clock;
  let engaged = false;

  /** Add the time since the last look. */
  function look() {
    const now = Date.now();
    if (view && engaged) view.engaged += Math.max(0, Math.min(now, input + IDLE_MS) - clock);
    clock = now;
    engaged = visible() && document.hasFocus();
  }

  /** @param {Event} event */
  function touched(event) {
    if (Date.now() > input + IDLE_MS) look(); // what was idle stays idle
    input = Date.now();
    if (view && event.type === "scroll" && !settling) view.reach = Math.max(view.reach, scrollY + innerHeight);
  }

  /** Send the view's totals where they have grown. */
  function report() {
    look();
    if (!view?.answer?.event_id) return;
    const height = document.scrollingElement?.scrollHeight || innerHeight;
    const seconds = Math.round(view.engaged / 1000);
    const depth = Math.min(100, Math.round((view.reach / height) * 100));
    if (seconds <= view.seconds && depth <= view.depth) return;
    view.seconds = seconds;
    view.depth = depth;
    const { event_id, session_id } = view.answer;
    beacon("heartbeat", { key, event_id, session_id, time_on_page: seconds, scroll_depth: depth });
  }

  /** Report every 15 s of engagement, and more slowly the longer the view lasts. */
  function heartbeat() {
    look();
    if (!view) return;
    const pause = Math.min(SLOWEST_REPORT_S, Math.max(FIRST_REPORT_S, view.seconds / 4));
    if (view.engaged / 1000 - view.seconds >= pause) report();
  }

  /** The page is hidden or ends: a phone may never wake it again. */
  function hide() {
    if (!started) return;
    settle();
    reportVitals();
    hurry();
    report();
    if (!left && session && view) beacon("leave", { key, session_id: session });
    left = true;
  }

  function show() {
    left = false;
    look();
    start();
  }

  // --- Events

  /** Properties without what is no text, number or boolean. @param {Properties} [given] */
  function scalars(given) {
    /** @type {Properties} */
    const all = attributes(/** @type {Element} */ (script), "data-prop-");
    for (const name in given) {
      const value = given[name];
      if (/^(str|boo)/.test(typeof value) || Number.isFinite(value)) all[name] = value;
    }
    return all;
  }

  /** Count an event. @param {string} name @param {Properties} [properties] @param {EventOptions} [options] */
  function track(name, properties, options) {
    if (!started) return queue.push(arguments);
    settle();
    const where = view ? view.path : path();
    if (!skip(where)) deliver("event", where, { name, properties: scalars(properties), ...options });
  }

  /** Count the event that an element names in its attributes. @param {Element} element */
  function trackMarked(element) {
    const name = /** @type {string} */ (element.getAttribute("data-analytics-event"));
    const all = attributes(element, "data-analytics-event-");
    const { value, currency, ...properties } = all;
    if (currency) track(name, properties, { value: +value, currency: /** @type {string} */ (currency) });
    else track(name, all);
  }

  /** @param {MouseEvent} click */
  function clicked(click) {
    const target = /** @type {Element} */ (click.target);
    if (!target.closest || click.button > 1) return; // the right button only opens a menu
    const marked = target.closest("[data-analytics-event]");
    if (marked && !marked.matches("form")) return trackMarked(marked);
    const link = /** @type {HTMLAnchorElement | null} */ (target.closest("a[href]"));
    if (!link || !/^http/.test(link.protocol)) return;
    const list = option("downloads");
    const files = (list && list !== "true" ? list : FILES).replace(/,\s*/g, "|");
    if (is("downloads", true) && (link.hasAttribute("download") || RegExp("\\.(" + files + ")$", "i").test(link.pathname))) {
      track("File Download", { url: link.href });
    } else if (is("outbound", true) && link.host !== location.host) {
      track("Outbound Link: Click", { url: link.href });
    }
  }

  /** @param {Event} submit */
  function submitted(submit) {
    const form = /** @type {Element} */ (submit.target);
    if (form.hasAttribute("data-analytics-event")) return trackMarked(form);
    // Attributes, for a field called "id" or "name" hides the form's own property.
    if (is("forms", true)) track("Form: Submit", { form: form.getAttribute("id") || form.getAttribute("name") || "" });
  }

  /** A page that says it is missing, by its status, a meta element or the script's data-404. */
  function trackMissing() {
    const meta = document.querySelector('meta[name="analytics-status"]');
    if (is("404", (meta?.getAttribute("content") || "" + load.responseStatus) === "404")) {
      track("404", { path: path() }, { interactive: false });
    }
  }

  // --- Web vitals, one event a page

  let reportVitals = () => {};

  function watchVitals() {
    const begun = load.activationStart || 0; // a prerendered page began when it was shown
    const where = path();
    let shift = 0;
    let shiftFrom = 0;
    let shiftTo = 0;
    /** @type {Record<string, number>} */
    const vitals = { cls: 0 };
    /** @param {string} name @param {number} at */
    const mark = (name, at) => (vitals[name] = Math.max(0, Math.round(at - begun)));
    /** @param {string} type @param {(entry: any) => void} take @param {object} [more] */
    const watch = (type, take, more) => {
      try {
        new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true, ...more });
      } catch (_) {} // a browser without this measure
    };
    mark("ttfb", load.responseStart);
    watch("paint", (entry) => /first-c/.test(entry.name) && mark("fcp", entry.startTime));
    watch("largest-contentful-paint", (entry) => mark("lcp", entry.startTime));
    watch("layout-shift", ({ startTime: at, value, hadRecentInput }) => {
      if (hadRecentInput) return;
      // The worst burst: shifts less than a second apart, five seconds at most.
      if (at - shiftTo > 1000 || at - shiftFrom > 5000) shift = ((shiftFrom = at), 0);
      shiftTo = at;
      shift += value;
      vitals.cls = Math.max(vitals.cls, +shift.toFixed(4));
    });
    watch(
      "event",
      ({ interactionId, duration }) => {
        // The slowest; the official measure leaves one in fifty out, and few pages see fifty.
        if (interactionId) vitals.inp = Math.max(vitals.inp || 0, duration);
      },
      { durationThreshold: 40 },
    );
    reportVitals = () => {
      reportVitals = () => {};
      track("Web Vitals", vitals, { interactive: false, path: where });
    };
  }

  // --- Start

  /** @type {any[]} */
  const queue = stub.q || [];

  /** Begin, once the page is seen: one that is prerendered, or opened in a tab behind, may never be. */
  function start() {
    if (started || !visible() || /** @type {any} */ (document).prerendering) return;
    started = true;
    look();
    arrive();
    trackMissing();
    if (is("web-vitals")) watchVitals();
    queue.forEach(run);
  }

  /** Take a call that was queued: a function, or the arguments of track. @param {any} call */
  function run(call) {
    if (call.call) call();
    else track(.../** @type {Parameters<typeof track>} */ (call));
  }

  for (const name of /** @type {const} */ (["pushState", "replaceState"])) {
    const original = history[name];
    history[name] = function () {
      original.apply(history, /** @type {any} */ (arguments));
      moved();
    };
  }
  /** Listen before the page does, which may stop an event. @param {string} names @param {(event: any) => void} listener */
  function on(names, listener) {
    for (const name of names.split(" ")) addEventListener(name, listener, true);
  }

  on("pointermove pointerdown keydown scroll", touched);
  on("popstate hashchange", moved);
  on("focus blur", look);
  on("click auxclick", clicked);
  on("submit", submitted);
  on("visibilitychange", () => (visible() ? show() : hide()));
  on("prerenderingchange", start);
  on("pagehide", hide);
  on("pageshow", (event) => {
    if (!event.persisted || !started) return;
    show();
    arrive(); // back from the browser's cache: seen once more
  });
  setInterval(heartbeat, 1000);

  /** @type {any} */ (window).analytics = Object.assign(stub, { track, pageview, q: { push: run }, _: { key, api, beacon, skip, on: listeners, view: () => view } });
  start();
})();
