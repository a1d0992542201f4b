// @ts-check
/**
 * Experiments on a page, beside the tracker:
 *
 *     <script src="https://analytics.example/js/experiments.js" data-guard="7"></script>
 *
 *     analytics.experiment(7).then((shown) => { if (shown.in_experiment) paint(shown.config); });
 *
 * What the attributes do is told in docs/tracker.md. This file is minified when the service is built; read it here.
 *
 * Nothing is kept in the browser: the visitor is whom the tracker tracks, in the mode `full` by the id it keeps, else by
 * the id that the service answered the page's view with. A promise never fails and never waits for ever: where nothing
 * is known in time, it says that the visitor does not take part, and the page stays as it is.
 *
 * @typedef {object} Shown
 * @property {number | null} variant_id
 * @property {string | null} variant_name
 * @property {Record<string, any>} config
 * @property {boolean} in_experiment
 */
(() => {
  const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);
  const analytics = (/** @type {any} */ (window).analytics ||= { q: [], track() { this.q.push(arguments); } });
  if (!script || analytics.experiment) return;

  /** @type {Shown} */
  const NOTHING = { variant_id: null, variant_name: null, config: {}, in_experiment: false };
  const { api = new URL(script.src).origin + "/analytics", guard = "", timeout = "2000" } = script.dataset;
  /** @type {Record<string, Promise<Shown>>} */
  const asked = {};
  /** @type {Promise<string> | undefined} */
  let known;

  /** The id that the tracker keeps; nothing where it keeps none. */
  function kept() {
    try {
      if (document.querySelector('script[data-mode="full"]')) return localStorage.analytics_visitor;
    } catch (_) {}
  }

  /** The visitor whom the tracker tracks; fails where it counts nobody. @returns {Promise<string>} */
  function visitor() {
    return (known ||= new Promise((found, lost) => {
      /** @param {any} view */
      const read = (view) => (view.answer.visitor_id ? found(view.answer.visitor_id) : lost());
      analytics.q.push(() => {
        const tracker = analytics._;
        const view = tracker.view();
        const reason = !view && tracker.skip(location.pathname);
        if (reason) return lost(reason);
        const id = kept();
        if (id) found(id);
        else if (view?.answer) read(view);
        else tracker.on.push(read);
      });
    }));
  }

  /** Ask the service. @param {string} id @param {AbortSignal} signal @returns {Promise<Shown>} */
  async function ask(id, signal) {
    const query = new URLSearchParams({ experiment_id: id, visitor_id: await visitor() });
    const forced = new URLSearchParams(location.search).getAll("analytics_variant");
    for (const one of forced) if (one.startsWith(id + ":")) query.set("variant_id", one.slice(id.length + 1));
    signal.throwIfAborted?.();
    const response = await fetch(api + "/experiment/variant?" + query, { signal, credentials: "omit" });
    const answer = await response.json();
    if (!response.ok) throw answer.error;
    return answer;
  }

  /** What the visitor is shown of an experiment, once for the page. @param {number | string} id @returns {Promise<Shown>} */
  analytics.experiment = (id) =>
    (asked[id] ||= new Promise((found) => {
      const stopping = new AbortController();
      setTimeout(() => {
        stopping.abort();
        found(NOTHING);
      }, +timeout);
      ask("" + id, stopping.signal).then(found, (reason) => {
        if (!stopping.signal.aborted) console.info("analytics: no variant, " + reason);
        found(NOTHING);
      });
    }));

  // The guard: the page is not seen before it is as the variants want it.
  const guarded = guard.split(/[\s,]+/).filter(Boolean);
  if (!guarded.length) return;
  const style = document.documentElement.style;
  const before = style.opacity;
  style.opacity = "0";
  const show = () => (style.opacity = before);
  const parsed = new Promise((done) => {
    if (document.readyState !== "loading") done(0);
    else addEventListener("DOMContentLoaded", done);
  });
  setTimeout(show, +timeout);
  // The page's own scripts hear of the variants first.
  Promise.all([parsed, ...guarded.map(analytics.experiment)]).then(() => setTimeout(show));
})();
