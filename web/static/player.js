// @ts-check
/**
 * The page of recordings: a list with filters, and a player around rrweb's. The frame in which a recording is rebuilt
 * is sandboxed without scripts, and the page's policy lets nothing be loaded from anywhere.
 *
 * @typedef {{type: number, timestamp: number, data: any}} Recorded
 * @typedef {{at: number, kind: "page" | "click" | "rage" | "fault", said: string}} Moment
 */
import { Replayer } from "@rrweb/replay";

const SPEEDS = [1, 2, 4, 8];
const IDLE_MS = 10_000;
const TOKEN = "analytics_token";

/** @param {string} id */
const $ = (id) => /** @type {any} */ (document.getElementById(id));
let token = sessionStorage.getItem(TOKEN) || "";
let website = 0;
let cursor = "";
/** @type {any} */
let shown;

/** An element. @param {string} tag @param {Record<string, any>} [has] @param {...(Node | string)} inside */
function make(tag, has = {}, ...inside) {
  const element = Object.assign(document.createElement(tag), has);
  element.append(...inside);
  return element;
}

/** @param {number} ms */
function clock(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const minutes = Math.floor(s / 60) % 60;
  const tail = String(s % 60).padStart(2, "0");
  return s < 3600 ? `${minutes}:${tail}` : `${Math.floor(s / 3600)}:${String(minutes).padStart(2, "0")}:${tail}`;
}

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options = {}) {
  const answer = await fetch("/analytics" + path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${token}` } });
  if (answer.status === 401) signOut("This token is not accepted.");
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || `HTTP ${answer.status}`);
  return answer;
}

// --- Who

/** @param {string} [why] */
function signOut(why = "") {
  token = "";
  sessionStorage.removeItem(TOKEN);
  close();
  $("workspace").hidden = $("leave").hidden = $("website").hidden = true;
  $("sign-in").hidden = false;
  $("refused").textContent = why;
  $("token").focus();
}

async function enter() {
  const { data } = await (await ask("/websites?limit=1000")).json();
  sessionStorage.setItem(TOKEN, token);
  $("sign-in").hidden = true;
  $("workspace").hidden = $("leave").hidden = $("website").hidden = false;
  $("website").replaceChildren(...data.map((/** @type {any} */ one) => make("option", { value: one.id }, one.name)));
  const [, wanted, replay] = location.hash.match(/^#(\d+)(?:\/(\d+))?/) || [];
  if (data.some((/** @type {any} */ one) => String(one.id) === wanted)) $("website").value = wanted;
  website = +$("website").value;
  if (website) await list();
  if (replay) open((await (await ask(`/websites/${website}/replays/${replay}`)).json()).data);
}

// --- The list

/** @param {boolean} [more] */
async function list(more) {
  const asked = new URLSearchParams({ limit: "50" });
  for (const [name, value] of new FormData($("filters"))) if (value) asked.append(name, name === "country_code" ? String(value).toUpperCase() : String(value));
  if (more) asked.append("cursor", cursor);
  const { data, meta } = await (await ask(`/websites/${website}/replays?${asked}`)).json();
  cursor = meta.next_cursor || "";
  $("more").hidden = !cursor;
  const cards = data.map(card);
  if (more) $("list").append(...cards);
  else $("list").replaceChildren(...(cards.length ? cards : [make("li", { className: "none" }, "No recordings fit.")]));
}

/** @param {any} replay */
function card(replay) {
  const tags = [];
  if (replay.is_running) tags.push(make("span", { className: "tag live" }, "live"));
  if (replay.rage_clicks) tags.push(make("span", { className: "tag rage" }, `${replay.rage_clicks} rage`));
  if (replay.errors) tags.push(make("span", { className: "tag fault" }, `${replay.errors} error${replay.errors > 1 ? "s" : ""}`));
  const when = new Date(replay.started_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const button = make(
    "button",
    { className: "card", onclick: () => open(replay) },
    make("div", { className: "line" }, make("span", {}, when), ...tags, make("span", { className: "length" }, clock(replay.duration * 1000))),
    make("b", {}, replay.entry_page || "/"),
    make("div", { className: "line" }, make("span", {}, device(replay)), make("span", {}, `${replay.page_count} page${replay.page_count === 1 ? "" : "s"} · ${replay.clicks} click${replay.clicks === 1 ? "" : "s"}`)),
  );
  button.dataset.id = replay.id;
  return make("li", {}, button);
}

/** @param {any} replay */
function device(replay) {
  return [replay.country_code, replay.device_type, replay.browser, replay.os].filter(Boolean).join(" · ") || "Unknown device";
}

// --- The player

/** @param {any} replay */
async function open(replay) {
  close();
  location.hash = `${website}/${replay.id}`;
  shown = new Shown(replay);
  document.querySelectorAll(".card").forEach((one) => one.setAttribute("aria-current", String(/** @type {any} */ (one).dataset.id === String(replay.id))));
  await shown.load().catch((/** @type {Error} */ error) => error.name !== "AbortError" && tell(error.message));
}

function close() {
  shown?.end();
  shown = undefined;
  $("player").hidden = $("activity").hidden = true;
  $("empty").hidden = false;
}

/** @param {string} [said] */
function tell(said = "") {
  $("notice").textContent = said;
  $("notice").hidden = !said;
}

class Shown {
  /** @param {any} replay */
  constructor(replay) {
    this.replay = replay;
    this.asking = new AbortController();
    /** @type {any} */
    this.player = undefined;
    /** @type {Recorded[]} */
    this.first = [];
    /** @type {Moment[]} */
    this.moments = [];
    /** @type {[number, number][]} */
    this.idle = [];
    /** @type {[number, number][]} */
    this.gaps = [];
    this.due = 0;
    /** @type {[number, number, number][]} */
    this.clicks = [];
    this.start = 0;
    this.total = 0;
    this.lastInput = 0;
    this.playing = false;
    this.followed = replay.is_running;
    $("empty").hidden = true;
    $("player").hidden = $("activity").hidden = false;
    this.describe();
    this.draw();
    tell("Loading …");
    this.ticking = setInterval(() => this.tick(), 100);
  }

  describe() {
    const { replay } = this;
    /** @param {string} name @param {any} value */
    const fact = (name, value) => make("div", { className: "fact" }, make("b", {}, String(value)), make("small", {}, name));
    $("about").replaceChildren(
      make("div", { className: "where" }, make("b", {}, replay.entry_page || "/"), make("small", {}, `${new Date(replay.started_at).toLocaleString()} · ${device(replay)} · visitor ${replay.visitor_hash.slice(0, 8)}`)),
      fact("pages", replay.page_count),
      fact("clicks", replay.clicks),
      fact("rage clicks", replay.rage_clicks),
      fact("errors", replay.errors),
      make("button", { className: "quiet danger", onclick: () => this.remove() }, "Delete"),
    );
  }

  async remove() {
    if (!confirm("Delete this recording? It cannot be brought back.")) return;
    await ask(`/websites/${website}/replays/${this.replay.id}`, { method: "DELETE" });
    close();
    location.hash = String(website);
    await list();
  }

  /** Read the recording chunk by chunk; of a session that runs, until it ends. */
  async load() {
    const answer = await ask(`/websites/${website}/replays/${this.replay.id}/playback/stream`, { signal: this.asking.signal });
    const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
      const messages = text.split("\n\n");
      text = messages.pop() || "";
      for (const message of messages) {
        const data = message.match(/^data: (.*)$/m);
        if (data && /^event: chunk$/m.test(message)) this.takeChunk(+(message.match(/^id: (\d+)$/m)?.[1] || 0), JSON.parse(data[1]));
        if (/^event: end$/m.test(message)) reader.cancel();
      }
      this.draw();
    }
    this.followed = false;
    if (!this.player) tell("There is nothing to show in this recording.");
    this.draw();
  }

  /** Take a chunk; where its number says that others are missing, note which stretch. @param {number} number @param {Recorded[]} events */
  takeChunk(number, events) {
    if (this.due && number > this.due && events.length) this.gaps.push([this.total, events[0].timestamp - this.start]);
    this.due = number + 1;
    for (const event of events) this.take(event);
  }

  /** @param {Recorded} event */
  take(event) {
    this.start ||= event.timestamp;
    this.total = Math.max(this.total, event.timestamp - this.start);
    this.notice(event);
    if (this.player) this.player.addEvent(event);
    else {
      this.first.push(event);
      if (this.first.length > 1 && this.first.some(({ type }) => type === 2)) this.begin();
    }
  }

  begin() {
    tell();
    this.player = new Replayer(/** @type {any} */ (this.first), {
      root: $("screen"),
      speed: this.speed,
      skipInactive: $("skip").checked,
      inactivePeriodThreshold: IDLE_MS,
      showWarning: false,
      mouseTail: { strokeStyle: "#6366f1", lineWidth: 3 },
      insertStyleRules: ["img:not([src]){background:repeating-linear-gradient(45deg,#8882 0 6px,#8881 6px 12px);min-width:16px;min-height:16px}"],
    });
    this.player.on("resize", (/** @type {any} */ size) => this.fit(size));
    this.player.on("finish", () => !this.followed && this.pause());
    this.player.on("skip-start", () => tell("Skipping inactivity"));
    this.player.on("skip-end", () => tell());
    this.resizing = new ResizeObserver(() => this.fit());
    this.resizing.observe($("stage"));
    this.play(this.followed ? Math.max(0, this.total - 1000) : 0);
  }

  /** @param {{width: number, height: number}} [size] */
  fit(size = this.size) {
    if (!size) return;
    this.size = size;
    const room = $("screen").getBoundingClientRect();
    const scale = Math.min(room.width / size.width, room.height / size.height, 1);
    const frame = this.player.wrapper;
    frame.style.width = `${size.width}px`;
    frame.style.height = `${size.height}px`;
    frame.style.transform = `scale(${scale}) translate(-50%, -50%)`;
  }

  get speed() {
    return +(document.querySelector("#speeds [aria-pressed=true]")?.textContent?.slice(0, -1) || 1);
  }

  get now() {
    return this.player ? Math.min(this.player.getCurrentTime(), this.total) : 0;
  }

  /** @param {number} at */
  play(at) {
    this.playing = true;
    this.player?.play(Math.max(0, at));
    this.draw();
  }

  pause(at = this.now) {
    this.playing = false;
    this.player?.pause(Math.max(0, at));
    this.draw();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play(this.now >= this.total - 50 ? 0 : this.now);
  }

  /** @param {number} at */
  seek(at) {
    const where = Math.min(Math.max(0, at), this.total);
    if (this.playing) this.play(where);
    else this.pause(where);
  }

  /** Remember what is worth a mark. @param {Recorded} event */
  notice({ type, data, timestamp }) {
    const at = timestamp - this.start;
    const isInput = type === 3 && [1, 2, 3, 5, 6, 12].includes(data.source);
    if (isInput || type === 4) {
      if (at - this.lastInput > IDLE_MS) this.idle.push([this.lastInput, at]);
      this.lastInput = at;
    }
    const lastPage = this.moments.findLast(({ kind }) => kind === "page")?.said;
    const page = type === 4 ? new URL(data.href || "http://x/").pathname : type === 5 && data.tag === "page" ? data.payload.path : "";
    if (page && page !== lastPage) this.moments.push({ at, kind: "page", said: page });
    if (type === 5 && data.tag === "error") this.moments.push({ at, kind: "fault", said: data.payload?.message || "Error" });
    if (type === 3 && data.source === 2 && data.type === 2) {
      const near = this.clicks.filter(([then, x, y]) => at - then < 1000 && Math.hypot(x - data.x, y - data.y) <= 30);
      this.clicks.push([at, data.x, data.y]);
      const last = this.moments.at(-1);
      if (near.length > 1 && last?.kind === "rage" && at - last.at < 1500) return;
      this.moments.push({ at, kind: near.length > 1 ? "rage" : "click", said: near.length > 1 ? "Rage click" : "Click" });
    }
  }

  /** Everything that changes with what has been read, and with playing or not. */
  draw() {
    const share = (/** @type {number} */ at) => `${(at / (this.total || 1)) * 100}%`;
    /** @param {number} from @param {number} to @param {object} has */
    const stretch = (from, to, has) => {
      const made = make("i", has);
      made.style.left = share(from);
      made.style.width = share(to - from);
      return made;
    };
    $("play").classList.toggle("playing", this.playing);
    $("play").setAttribute("aria-label", this.playing ? "Pause" : "Play");
    if (this.drawn === this.total) return;
    this.drawn = this.total;
    $("timeline").setAttribute("aria-valuemax", String(Math.round(this.total / 1000)));
    $("loaded").replaceChildren(
      ...this.idle.map(([from, to]) => stretch(from, to, { title: "Nothing was done" })),
      ...this.gaps.map(([from, to]) => stretch(from, to, { className: "gap", title: "Nothing arrived of this stretch" })),
    );
    $("marks").replaceChildren(
      ...this.moments.map(({ at, kind, said }) => {
        const mark = make("i", { className: kind, title: said });
        mark.style.left = share(at);
        return mark;
      }),
    );
    $("moments").replaceChildren(
      ...this.moments.map(({ at, kind, said }) =>
        make("li", {}, make("button", { className: kind, title: said, onclick: () => this.seek(at - 500) }, make("i"), make("time", {}, clock(at)), make("span", {}, said))),
      ),
    );
  }

  tick() {
    const { now, total } = this;
    const share = `${total ? (now / total) * 100 : 0}%`;
    $("progress").style.width = $("knob").style.left = share;
    $("clock").textContent = `${clock(now)} / ${clock(total)}`;
    $("timeline").setAttribute("aria-valuenow", String(Math.round(now / 1000)));
    const passed = this.moments.findLastIndex(({ at }) => at <= now + 50);
    [...$("moments").children].forEach((item, place) => item.firstChild.classList.toggle("passed", place === passed));
  }

  end() {
    this.asking.abort();
    clearInterval(this.ticking);
    this.resizing?.disconnect();
    this.player?.destroy();
    $("screen").replaceChildren();
    tell();
  }
}

// --- What is pressed

$("sign-in").onsubmit = (/** @type {Event} */ event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  enter().catch((error) => token && signOut(error.message));
};
$("leave").onclick = () => signOut();
$("website").onchange = () => {
  close();
  website = +$("website").value;
  location.hash = String(website);
  list().catch((error) => tell(error.message));
};
$("filters").oninput = () => list().catch(() => {});
$("filters").onreset = () => setTimeout(() => list().catch(() => {}));
$("filters").onsubmit = (/** @type {Event} */ event) => event.preventDefault();
$("more").onclick = () => list(true).catch(() => {});
$("play").onclick = () => shown?.toggle();
$("skip").onchange = () => shown?.player?.setConfig({ skipInactive: $("skip").checked });
$("speeds").replaceChildren(
  ...SPEEDS.map((speed) => {
    const button = make("button", {
      onclick: () => {
        document.querySelectorAll("#speeds button").forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
        shown?.player?.setConfig({ speed });
      },
    }, `${speed}×`);
    button.setAttribute("aria-pressed", String(speed === 1));
    return button;
  }),
);

/** @param {PointerEvent} event */
function drag(event) {
  const room = $("timeline").getBoundingClientRect();
  shown?.seek(((event.clientX - room.left) / room.width) * shown.total);
}
$("timeline").onpointerdown = (/** @type {PointerEvent} */ event) => {
  $("timeline").setPointerCapture(event.pointerId);
  drag(event);
};
$("timeline").onpointermove = (/** @type {PointerEvent} */ event) => event.buttons && drag(event);
addEventListener("keydown", (event) => {
  if (!shown || /INPUT|SELECT|TEXTAREA/.test(/** @type {Element} */ (event.target).tagName)) return;
  if (event.key === " " && /** @type {Element} */ (event.target).tagName !== "BUTTON") {
    event.preventDefault();
    shown.toggle();
  }
  if (event.key === "ArrowLeft") shown.seek(shown.now - 5000);
  if (event.key === "ArrowRight") shown.seek(shown.now + 5000);
});
/** @type {any} */ (window).replays = { get shown() { return shown; } };

if (token) enter().catch((error) => signOut(error.message));
else signOut();
