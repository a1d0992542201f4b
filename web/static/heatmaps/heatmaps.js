// @ts-check
/**
 * Heatmaps, drawn over the size of their pages. All it knows comes from the API, by the token that its reader gives it
 * and that stays in the tab's sessionStorage. Texts of the API are set as text, never as HTML.
 *
 * @typedef {{id: number, name: string, url_pattern: string, type: "click" | "move" | "scroll", is_active: boolean}} Heatmap
 * @typedef {{x: number, y: number, count: number}} Point
 * @typedef {{data: Point[], viewport: {width: number, height: number, group: string}, cell: number, total: number,
 *   page: {width: number, height: number} | null, groups: Record<string, number>}} Data
 */
(() => {
  const TOKEN = "analytics_token";
  const GROUPS = ["desktop", "tablet", "mobile"];
  const NOUNS = { click: ["click", "clicks"], move: ["position", "positions"], scroll: ["visit", "visits"] };
  const COLOURS = { 0.25: "#3454d1", 0.5: "#12b5a5", 0.7: "#a4d65e", 0.85: "#f7c948", 1: "#e5484d" };
  const TALLEST_PX = 16_000; // a canvas has an end
  const MARKS = [75, 50, 25]; // percent of visits that a line is drawn for
  const HOT = 0.98; // so many cells lie below the hottest colour: one that is far ahead must not leave the rest cold

  /** @template {HTMLElement} T @param {string} id @returns {T} */
  const by = (id) => /** @type {any} */ (document.getElementById(id));
  const paper = by("paper");
  const heat = /** @type {HTMLCanvasElement} */ (by("heat"));
  const note = by("note");

  let token = sessionStorage.getItem(TOKEN) || "";
  /** @type {any[]} */ let websites = [];
  /** @type {Heatmap[]} */ let heatmaps = [];
  /** @type {Heatmap | undefined} */ let shown;
  /** @type {Data | undefined} */ let data;
  /** @type {HTMLElement | undefined} */ let backdrop;
  let group = ""; // of windows; empty: the busiest
  let asked = 0; // an answer to an older question is dropped
  let scale = 1;

  // --- The API

  /** @param {string} path @param {object} [body] */
  async function ask(path, body) {
    const response = await fetch("/analytics" + path, {
      method: body ? "POST" : "GET",
      body: body && JSON.stringify(body),
      headers: { Authorization: "Bearer " + token },
    });
    const answer = await response.json();
    if (response.ok) return answer;
    if (response.status === 401) leave(answer.error);
    const faults = (answer.details || []).map((/** @type {any} */ fault) => `${fault.field}: ${fault.message}`);
    throw new Error(faults.join("; ") || answer.error);
  }

  /** Every item of a list. @param {string} path */
  async function all(path) {
    const items = [];
    for (let cursor = ""; cursor !== null; ) {
      const page = await ask(`${path}?limit=1000&cursor=${encodeURIComponent(cursor)}`);
      items.push(...page.data);
      cursor = page.meta.next_cursor;
    }
    return items;
  }

  /** Do something that asks the API; what goes wrong is told. @param {() => Promise<unknown>} work */
  async function doing(work) {
    try {
      await work();
    } catch (error) {
      tell(/** @type {Error} */ (error).message, true);
    }
  }

  // --- Coming and going

  async function enter() {
    websites = await all("/websites");
    sessionStorage.setItem(TOKEN, token);
    by("entry").hidden = true;
    by("view").hidden = false;
    const select = /** @type {HTMLSelectElement} */ (by("website"));
    select.replaceChildren(...websites.map((site) => new Option(site.name + (site.name === site.host ? "" : ` · ${site.host}`), site.id)));
    const wanted = place();
    if (websites.some((site) => site.id === wanted.website)) select.value = "" + wanted.website;
    if (!websites.length) return empty("There is no website yet", "Make one by the API, then come back.");
    await openWebsite();
  }

  /** @param {string} [reason] */
  function leave(reason) {
    token = "";
    sessionStorage.removeItem(TOKEN);
    by("view").hidden = true;
    by("entry").hidden = false;
    const error = /** @type {HTMLElement} */ (by("entry").querySelector(".error"));
    error.hidden = !reason;
    error.textContent = reason || "";
    by("token").focus();
  }

  /** What the address says is open. */
  function place() {
    const said = new URLSearchParams(location.hash.slice(1));
    return { website: Number(said.get("website")), heatmap: Number(said.get("heatmap")) };
  }

  const website = () => websites.find((site) => "" + site.id === /** @type {HTMLSelectElement} */ (by("website")).value);

  async function openWebsite() {
    heatmaps = await all(`/websites/${website().id}/heatmaps`);
    const wanted = heatmaps.find((one) => one.id === place().heatmap) || heatmaps[0];
    list();
    if (wanted) return open(wanted);
    shown = data = undefined;
    by("name").textContent = by("pattern").textContent = "";
    by("viewport").replaceChildren();
    by("elements").hidden = true;
    const hint = website().tracking_type === "full" ? "Add one on the left: a page, and what to look at." : "Set the website's tracking type to full first: a lightweight one records none.";
    empty("No heatmaps yet", hint);
  }

  /** @param {Heatmap} heatmap */
  async function open(heatmap) {
    if (heatmap !== shown) drop();
    shown = heatmap;
    group = "";
    location.hash = `website=${website().id}&heatmap=${heatmap.id}`;
    by("name").textContent = heatmap.name;
    by("pattern").textContent = heatmap.url_pattern;
    const address = heatmap.url_pattern.includes("*") ? "/" : heatmap.url_pattern;
    /** @type {HTMLInputElement} */ (by("address")).value = `https://${website().host}${address}`;
    list();
    await load();
  }

  function list() {
    by("list").replaceChildren(
      ...heatmaps.map((one) => {
        const link = element("a", one.is_active ? "" : "off", element("i", one.type), element("b", "", one.name), element("span", "", `${NOUNS[one.type][1]} · ${one.url_pattern}`));
        link.setAttribute("href", `#website=${website().id}&heatmap=${one.id}`);
        if (one === shown) link.setAttribute("aria-current", "true");
        link.addEventListener("click", (click) => (click.preventDefault(), doing(() => open(one))));
        return link;
      }),
    );
  }

  async function load() {
    if (!shown) return;
    const mine = ++asked;
    const days = Number(/** @type {HTMLSelectElement} */ (by("days")).value);
    const since = new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 19) + "Z";
    const path = `/websites/${website().id}/heatmaps/${shown.id}/`;
    const query = `?start_date=${since}${group && "&viewport=" + group}`;
    tell("Loading…");
    const [found, met] = await Promise.all([ask(path + "data" + query), ask(path + "elements" + query + "&limit=12")]);
    if (mine !== asked) return;
    data = found;
    switches();
    elements(met.elements);
    draw();
  }

  // --- Drawing

  /** @param {string} name @param {string} [className] @param {(Node | string)[]} inside */
  function element(name, className, ...inside) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...inside);
    return made;
  }

  /** @param {string} text @param {boolean} [bad] */
  function tell(text, bad) {
    note.textContent = text;
    note.classList.toggle("error", !!bad);
  }

  /** @param {string} title @param {string} hint */
  function empty(title, hint) {
    tell("");
    size(960, 560);
    by("lines").replaceChildren(element("div", "empty", element("b", "", title), element("span", "", hint)));
    by("legend").hidden = true;
  }

  function switches() {
    const now = /** @type {Data} */ (data);
    by("viewport").replaceChildren(
      ...GROUPS.map((name) => {
        const button = element("button", "", name[0].toUpperCase() + name.slice(1), element("small", "", short(now.groups[name])));
        button.setAttribute("type", "button");
        button.setAttribute("aria-pressed", "" + (name === now.viewport.group));
        button.addEventListener("click", () => ((group = name), doing(load)));
        return button;
      }),
    );
  }

  /** @param {{selector: string, count: number}[]} met */
  function elements(met) {
    by("elements").hidden = !met.length;
    /** @type {HTMLElement} */ (by("elements").querySelector("ol")).replaceChildren(
      ...met.map(({ selector, count }) => {
        const line = element("li", "", element("code", "", selector), element("b", "", short(count)));
        line.title = selector;
        line.style.setProperty("--part", (count / met[0].count) * 100 + "%");
        return line;
      }),
    );
  }

  /** @param {number} count */
  const short = (count) => new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(count);

  /** Give the paper the size of a page, as large as there is room. @param {number} width @param {number} height */
  function size(width, height) {
    const room = Math.max(280, by("stage").clientWidth - 88);
    scale = Math.min(1, room / width, TALLEST_PX / height);
    paper.style.width = Math.round(width * scale) + "px";
    paper.style.height = Math.round(height * scale) + "px";
    heat.width = Math.round(width * scale);
    heat.height = Math.round(height * scale);
    if (backdrop?.tagName === "IFRAME") {
      backdrop.style.width = width + "px";
      backdrop.style.height = height + "px";
      backdrop.style.transform = `scale(${scale})`;
    }
  }

  function draw() {
    if (!data || !shown) return;
    const { page, viewport, total } = data;
    if (!page || !data.data.length) {
      return empty("Nothing sampled here yet", shown.is_active ? "Samples show within seconds of a visit to the page." : "This heatmap is switched off.");
    }
    size(page.width, page.height);
    heat.style.opacity = "" + Number(input("opacity").value) / 100;
    by("legend").hidden = false;
    const nouns = NOUNS[shown.type];
    tell(`${total.toLocaleString("en")} ${nouns[total === 1 ? 0 : 1]} · page of ${page.width} × ${page.height} pixels`);
    by("lines").replaceChildren();
    if (shown.type === "scroll") drawReach(data);
    else drawPoints(data);
    if (!backdrop) folds(page.height, viewport.height);
  }

  /** A line for each screen of the page. @param {number} height @param {number} screen */
  function folds(height, screen) {
    const step = Math.max(screen, Math.ceil(height / 60 / 100) * 100);
    for (let y = step; y < height; y += step) {
      const line = element("div", "fold");
      line.style.top = y * scale + "px";
      line.dataset.px = y + " px";
      by("lines").append(line);
    }
  }

  /** @param {Data} now */
  function drawPoints(now) {
    const counts = now.data.map((point) => point.count).sort((a, b) => a - b);
    const hottest = counts[Math.min(counts.length - 1, Math.floor(counts.length * HOT))];
    const radius = Number(input("radius").value) * Math.max(scale, 0.35);
    const middle = now.cell / 2;
    const map = /** @type {any} */ (window).simpleheat(heat);
    map.gradient(COLOURS).radius(radius * 0.55, radius * 0.8);
    map.max(Math.max(1, hottest * (2.2 - (Number(input("strength").value) / 100) * 2)));
    const faintest = Math.min(0.5, 0.06 + 30 / now.data.length); // single clicks are to be seen where there are few
    map.data(now.data.map(({ x, y, count }) => [(x + middle) * scale, (y + middle) * scale, count])).draw(faintest);
    legend("few", `${short(hottest)} or more in ${now.cell} × ${now.cell} pixels`, COLOURS);
  }

  /** @param {Data} now */
  function drawReach(now) {
    const context = /** @type {CanvasRenderingContext2D} */ (heat.getContext("2d"));
    const palette = ramp(COLOURS, 256, 1);
    now.data.forEach(({ y, count }) => {
      const [red, green, blue] = palette.slice(Math.round(count * 2.55) * 4);
      context.fillStyle = `rgb(${red} ${green} ${blue} / 0.72)`;
      context.fillRect(0, Math.round(y * scale), heat.width, Math.round((y + now.cell) * scale) - Math.round(y * scale));
    });
    for (const mark of MARKS) {
      const last = now.data.filter((point) => point.count >= mark).pop();
      if (!last || !last.y) continue;
      const line = element("div", "reach", element("b", "", `${mark} % reach ${last.y.toLocaleString("en")} px`));
      line.style.top = (last.y + now.cell) * scale + "px";
      by("lines").append(line);
    }
    legend("0 %", "100 % of visits", COLOURS);
  }

  /** The colours of a gradient, four numbers each. @param {Record<string, string>} colours @param {number} width @param {number} height */
  function ramp(colours, width, height) {
    const canvas = /** @type {HTMLCanvasElement} */ (document.createElement("canvas"));
    canvas.width = width;
    canvas.height = height;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const gradient = context.createLinearGradient(0, 0, width, 0);
    for (const [at, colour] of Object.entries(colours)) gradient.addColorStop(Number(at), colour);
    context.fillStyle = gradient;
    context.fillRect(0, 0, width, height);
    return context.getImageData(0, 0, width, height).data;
  }

  /** @param {string} least @param {string} most @param {Record<string, string>} colours */
  function legend(least, most, colours) {
    by("least").textContent = least;
    by("most").textContent = most;
    const canvas = /** @type {HTMLCanvasElement} */ (by("scale"));
    const image = new ImageData(new Uint8ClampedArray(ramp(colours, canvas.width, canvas.height)), canvas.width);
    /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(image, 0, 0);
  }

  // --- What stands behind

  /** @param {HTMLElement} [next] */
  function drop(next) {
    if (backdrop instanceof HTMLImageElement) URL.revokeObjectURL(backdrop.src);
    backdrop?.remove();
    backdrop = next;
    if (next) paper.prepend(next);
    draw();
  }

  /** The page itself: without scripts, of no origin, and told nothing of who looks. */
  function frame() {
    let address;
    try {
      address = new URL(input("address").value);
    } catch (_) {}
    if (!address || !/^https?:$/.test(address.protocol)) return tell("The address of a page begins with https://", true);
    const made = document.createElement("iframe");
    made.setAttribute("sandbox", "");
    made.referrerPolicy = "no-referrer";
    made.src = address.href;
    drop(made);
  }

  /** A picture from the reader's own disk, which goes nowhere. */
  function picture() {
    const file = input("picture").files?.[0];
    if (!file) return;
    const made = document.createElement("img");
    made.alt = "";
    made.src = URL.createObjectURL(file);
    drop(made);
  }

  /** What lies under the mouse. @param {PointerEvent} move */
  function hover(move) {
    const tip = by("tip");
    if (!data || !shown || !data.page) return (tip.hidden = true);
    const box = paper.getBoundingClientRect();
    const [x, y] = [(move.clientX - box.left) / scale, (move.clientY - box.top) / scale];
    if (shown.type === "scroll") {
      const line = data.data[Math.floor(y / data.cell)];
      tip.textContent = `${(line ? line.count : 0).toLocaleString("en")} % of visits saw this`;
    } else {
      const near = 15; // what is drawn is wider than a cell, and so is what is told
      const here = data.data.filter((point) => Math.abs(point.x + 5 - x) <= near && Math.abs(point.y + 5 - y) <= near);
      const count = here.reduce((sum, point) => sum + point.count, 0);
      tip.textContent = `${count.toLocaleString("en")} ${NOUNS[shown.type][count === 1 ? 0 : 1]} around here`;
    }
    tip.hidden = false;
    tip.style.left = x * scale + "px";
    tip.style.top = y * scale + "px";
  }

  // --- Start

  /** @param {string} id @returns {HTMLInputElement} */
  function input(id) {
    return /** @type {any} */ (by(id));
  }

  /** @param {string} id @param {string} event @param {(event: any) => void} listener */
  const on = (id, event, listener) => by(id).addEventListener(event, listener);
  on("entry", "submit", (submit) => {
    submit.preventDefault();
    token = input("token").value.trim();
    input("token").value = "";
    enter().catch((error) => leave(error.message));
  });
  on("new", "submit", (submit) => {
    submit.preventDefault();
    const said = Object.fromEntries(new FormData(submit.target));
    doing(async () => {
      const { data: made } = await ask(`/websites/${website().id}/heatmaps`, { ...said, name: `${said.url_pattern}` });
      submit.target.reset();
      heatmaps.push(made);
      await open(made);
    });
  });
  on("forget", "click", () => leave());
  on("website", "change", () => doing(openWebsite));
  on("days", "change", () => doing(load));
  for (const id of ["radius", "strength", "opacity"]) on(id, "input", draw);
  on("frame", "click", frame);
  on("bare", "click", () => drop());
  on("picture", "change", picture);
  on("paper", "pointermove", hover);
  on("paper", "pointerleave", () => (by("tip").hidden = true));
  addEventListener("resize", draw);

  if (token) enter().catch((error) => leave(error.message));
  else leave();
})();
