// @ts-check
/**
 * The demo page's own doing: it shows what the tracker sends, and changes pages without loading any.
 * It runs before the tracker, so that no request goes unseen.
 */
(() => {
  const PAGES = {
    "/demo": ["This page is being measured.", "It carries the tracker, and reports to the service that you have just started. Read, scroll, click: every request it makes appears beside the text, exactly as it is sent."],
    "/demo/pricing": ["A second page, a second view.", "The address changed and nothing was loaded. The first view was closed with its totals, and this one began."],
    "/demo/journal": ["Long reads count by reading.", "Not by how long a tab stays open: leave this window for another, and the clock stands still until you are back."],
  };
  const KEPT = 100;

  /** @param {string} id */
  const $ = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
  let count = 0;
  let answered = false;

  /** What a request is about, in a few words. @param {string} kind @param {any} body */
  function gist(kind, body) {
    if (kind === "track") return body.path;
    if (kind === "event") return body.name;
    if (kind === "heartbeat") return `${body.time_on_page} s read, ${body.scroll_depth} % seen`;
    return "the page is hidden or closed";
  }

  /** JSON with its values set apart, built of nodes so that nothing in it is taken for markup. @param {object} value */
  function pretty(value) {
    const shown = document.createElement("pre");
    const lines = JSON.stringify(value, null, 2).split("\n").slice(1, -1);
    for (const line of lines) {
      const [, name, rest] = /^(\s*"[^"]+": )?(.*)$/.exec(line.slice(2)) || ["", "", ""];
      const set = document.createElement("q");
      set.textContent = rest;
      shown.append(name || "", set, "\n");
    }
    return shown;
  }

  /** Show a request. @param {string} url @param {unknown} text @param {string} how */
  function show(url, text, how) {
    const kind = /\/analytics\/(\w+)$/.exec(url)?.[1];
    if (!kind || typeof text !== "string") return () => {};
    const body = JSON.parse(text);
    const item = document.createElement("li");
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    const [label, words, state] = ["b", "span", "i"].map((name) => document.createElement(name));
    item.className = kind;
    label.textContent = kind;
    words.textContent = gist(kind, body);
    state.textContent = how;
    summary.append(label, words, state);
    details.append(summary, pretty(body));
    item.append(details);
    $("log").prepend(item);
    while ($("log").childElementCount > KEPT) $("log").lastElementChild?.remove();
    $("count").textContent = String(++count);
    $("cookies").textContent = String(document.cookie ? document.cookie.split(";").length : 0);
    return (/** @type {string} */ words, /** @type {boolean} */ good) => {
      state.textContent = words;
      state.classList.toggle("bad", !good);
      if (kind !== "track" || answered) return;
      answered = good;
      $("first").textContent = good ? "has arrived" : "was not taken";
    };
  }

  const { fetch, navigator } = window;
  window.fetch = async (input, init) => {
    const begun = performance.now();
    const settle = show(String(input), init?.body, "…");
    try {
      const answer = await fetch(input, init);
      settle(`${answer.status} · ${Math.round(performance.now() - begun)} ms`, answer.ok);
      return answer;
    } catch (error) {
      settle("no answer", false);
      throw error;
    }
  };
  const beacon = navigator.sendBeacon.bind(navigator);
  navigator.sendBeacon = (url, data) => {
    show(String(url), data, "beacon");
    return beacon(url, data);
  };

  /** Set the page's words for its address. */
  function render() {
    const path = location.pathname in PAGES ? /** @type {keyof typeof PAGES} */ (location.pathname) : "/demo";
    const [headline, lede] = PAGES[path];
    $("headline").textContent = headline;
    $("lede").textContent = lede;
    document.title = `Demo: ${headline.slice(0, -1).toLowerCase()}`;
    for (const link of document.querySelectorAll("nav [data-route]")) {
      if (link.getAttribute("href") === path) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    read = reach = 0;
  }

  // The figures at the top are the page's own reckoning, so that they move by the second; what counts is what is sent.
  let read = 0;
  let reach = 0;
  setInterval(() => {
    if (!document.hidden && document.hasFocus()) read++;
    figures();
  }, 1000);

  function figures() {
    const height = document.documentElement.scrollHeight;
    reach = Math.max(reach, Math.min(1, (scrollY + innerHeight) / height));
    $("seconds").textContent = String(read);
    $("depth").textContent = String(Math.round(reach * 100));
    $("bar").style.transform = `scaleX(${reach})`;
  }

  document.addEventListener("click", (click) => {
    const target = /** @type {Element} */ (click.target);
    const route = target.closest("[data-route]");
    if (route && !click.metaKey && !click.ctrlKey && !click.shiftKey) {
      click.preventDefault();
      history.pushState({}, "", route.getAttribute("href"));
      render();
      scrollTo(0, 0);
    }
    const copy = target.closest("[data-copy]");
    if (copy) {
      const text = $(copy.getAttribute("data-copy") || "").textContent || "";
      navigator.clipboard?.writeText(text).then(() => {
        copy.textContent = "Copied";
        setTimeout(() => (copy.textContent = "Copy"), 1500);
      });
    }
  });
  addEventListener("popstate", render);
  addEventListener("scroll", figures, { passive: true });
  $("back").addEventListener("click", () => history.back());
  $("clear").addEventListener("click", () => $("log").replaceChildren());
  $("file").addEventListener("click", (click) => click.preventDefault()); // there is no such file
  $("newsletter").addEventListener("submit", (submit) => submit.preventDefault());
  $("buy").addEventListener("click", () => {
    /** @type {any} */ (window).analytics.track("Purchase", { plan: "pro" }, { value: 29, currency: "GBP" });
  });
  render();
  figures();
})();
