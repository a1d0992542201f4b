"""A page recorded by the tracker in chromium, and played by the player: what was there is there again."""

import asyncio
import json
import re
from typing import Any

import psycopg
import pytest
from aiohttp import web

from analytics_app.replays import packing
from tests.e2e.conftest import DESKTOP, TOKEN, listen
from tests.e2e.service import Service
from tests.e2e.tracker import acts
from tests.e2e.tracker.collector import Collector
from tests.e2e.tracker.conftest import Site
from tests.factories import NOON_MS
from tests.hostile import HOSTILE, TRAP
from tests.recordings import opening, scroll
from tests.web.calls import Caller

pytestmark = [pytest.mark.services, pytest.mark.browser]

# The page as a tree of tags and texts: what is not seen (scripts, comments, blank text) is left out, what is masked is
# masked, what is blocked is empty.
TREE = """(root) => {
  const walk = (node, masked) => {
    if (node.nodeType === 3) {
      const text = node.textContent.trim();
      return text && (masked ? text.replace(/\\S/g, "*") : text);
    }
    if (node.nodeType !== 1 || /^(script|noscript|style)$/i.test(node.tagName)) return null;
    const tag = node.tagName.toLowerCase();
    const hides = masked || node.hasAttribute("data-analytics-mask");
    const inside = tag === "iframe" ? node.contentDocument.body : node;
    const blocked = node.hasAttribute("data-analytics-block");
    const nodes = blocked || tag === "textarea" ? [] : [...inside.childNodes];
    const below = nodes.map((one) => walk(one, hides)).filter(Boolean);
    const made = {tag, below};
    if (/^(input|textarea)$/.test(tag)) made.value = /checkbox/.test(node.type) ? node.checked : node.value.length;
    return made;
  };
  return JSON.stringify(walk(root, false));
}"""
PAGE = """
<h1>Order <b>tea</b></h1>
<form onsubmit="return false">
  <label>Name <input id="name"></label> <label>Card <input id="card" autocomplete="off"></label>
  <input id="secret" type="password"> <textarea id="note"></textarea>
  <label><input id="gift" type="checkbox"> A gift</label>
  <select id="size"><option>Small</option><option>Large</option></select>
</form>
<ul id="list"><li>Assam</li><li>Ceylon</li></ul>
<button id="add">Add</button> <button id="take">Take</button>
<p data-analytics-mask>Dear Ms <b>Miller</b></p>
<div data-analytics-block><p>Balance: 99</p></div>
<p id="mail">Write to joe.miller@example.com</p>
<canvas id="drawing" width="80" height="40"></canvas>
<iframe id="inner" src="/inner"></iframe>
<div id="route">Home</div>
<a id="next" href="/two">On</a>
<script>
  let n = 0;
  add.onclick = () => {
    const li = document.createElement("li");
    li.innerHTML = `Tea <i>no. ${++n}</i>`;
    list.prepend(li);
  };
  take.onclick = () => { list.lastElementChild.remove(); list.firstElementChild.firstChild.data = "Changed "; };
  drawing.getContext("2d").fillRect(5, 5, 40, 20);
</script>
"""


@pytest.fixture
async def recorded(admin: Caller) -> dict[str, Any]:
    """A website whose sessions are all recorded."""
    return await admin.new_website(tracking_type="full", replay_sampling=1)


@pytest.fixture
async def site(service: Service, recorded: dict[str, Any]):
    site = Site(Collector(service.address, recorded["pixel_key"]))
    application = web.Application()
    application.router.add_get("/{tail:.*}", site.serve)
    runner, site.url = await listen(application)
    yield site
    await runner.cleanup()


async def replay_of(admin: Caller, website: dict[str, Any], pages: int, within_s: float = 30) -> dict[str, Any]:
    """The website's one recording, once so many pages of it are stored."""
    for _ in range(round(within_s / 0.2)):
        listed = (await (await admin.get(f"/analytics/websites/{website['id']}/replays")).json())["data"]
        if listed and listed[0]["page_count"] >= pages:
            assert len(listed) == 1
            return listed[0]
        await asyncio.sleep(0.2)
    raise AssertionError(f"not stored in time: {listed}")


async def begun(page: Any) -> None:
    await page.wait_for_function("sessionStorage.analytics_replay")


async def test_what_is_played_is_what_was_there(page, context, site, service, admin, recorded):
    site.pages["/inner"] = web.Response(text="<!doctype html><p>Inside <b>the frame</b></p>", content_type="text/html")
    site.page("/two", "<h2>Thank you</h2>", mode="full")
    await page.goto(site.page("/shop", PAGE, mode="full"))
    await begun(page)
    instants: list[tuple[int, str]] = []

    async def note() -> None:
        await page.wait_for_timeout(150)
        instants.append((await page.evaluate("Date.now()"), await page.evaluate(f"({TREE})(document.body)")))
        await page.wait_for_timeout(250)

    await note()
    for _ in range(3):
        await page.click("#add")
    await page.click("#take")
    await note()
    await page.type("#name", "Ann Miller")
    await page.type("#card", "4111 1111 1111 1111")
    await page.type("#secret", "hunter2!")
    await page.type("#note", "ring twice, ann.miller@example.com")
    await page.check("#gift")
    await page.select_option("#size", "Large")
    await note()
    await acts.push(page, "/route")
    await page.evaluate("route.textContent = 'A route'; mail.remove(); inner.contentDocument.body.append('and more')")
    await note()
    await page.click("#next")
    await page.wait_for_selector("h2")
    await page.wait_for_timeout(800)
    await note()
    await page.goto("about:blank")

    replay = await replay_of(admin, recorded, 3)
    assert replay["entry_page"] == "/shop"
    assert sorted(replay["pages"]) == ["/route", "/shop", "/two"]
    assert replay["clicks"] >= 5
    assert (replay["browser"], replay["os"], replay["device_type"]) == ("Chrome", "Linux", "desktop")
    path = f"/analytics/websites/{recorded['id']}/replays/{replay['id']}"
    one = (await (await admin.get(path)).json())["data"]
    assert one["gaps"] == []
    events = await (await admin.get(f"{path}/playback")).json()
    said = json.dumps(events)
    assert [event["type"] for event in events[:2]] == [4, 2]
    for typed in ("Miller", "4111 1111", "hunter2", "ring twice", "@example.com", "Balance"):
        assert typed not in said
    begins = events[0]["timestamp"]

    watching = await context.new_page()
    requests: list[str] = []
    watching.on("request", lambda request: requests.append(request.url))
    await watching.goto(f"{service.address}/replays#{recorded['id']}/{replay['id']}")
    await watching.fill("#token", TOKEN)
    await watching.press("#token", "Enter")
    await watching.wait_for_function(
        "(last) => window.replays.shown?.player && window.replays.shown.total >= last",
        arg=events[-1]["timestamp"] - begins,
        timeout=20_000,
    )
    assert await watching.get_attribute("#screen iframe", "sandbox") == "allow-same-origin"
    for at_ms, there in instants:
        await watching.evaluate("(at) => replays.shown.pause(at)", at_ms - begins)
        await watching.wait_for_timeout(400)
        shown = await watching.evaluate(f"({TREE})(document.querySelector('#screen iframe').contentDocument.body)")
        assert unmasked(json.loads(shown)) == unmasked(json.loads(there)), at_ms - begins
    assert [url for url in requests if not url.startswith((service.address, "data:", "blob:"))] == []


async def test_a_copied_tab_is_a_recording_of_its_own(page, context, site, admin, recorded):
    site.page("/two", "<h2>Thank you</h2><p id='more'></p>", mode="full")
    await page.goto(site.page("/shop", PAGE, mode="full"))
    await begun(page)
    tab = await page.evaluate("JSON.parse(sessionStorage.analytics_replay).tab")
    async with context.expect_page() as opened:
        await page.evaluate("window.open('/two') && undefined")  # it has a copy of what the tab keeps
    copy = await opened.value
    await copy.wait_for_function("(tab) => JSON.parse(sessionStorage.analytics_replay).tab !== tab", arg=tab)
    for number in range(3):
        await page.click("#add")
        await copy.evaluate("(number) => { more.textContent = `copy ${number}`; }", number)
        await copy.wait_for_timeout(1600)
    for one in (page, copy):
        await one.goto("about:blank")
    listed = await all_stored(admin, recorded, 2)
    assert len({one["session_hash"] for one in listed}) == 1
    said = {}
    for one in listed:
        path = f"/analytics/websites/{recorded['id']}/replays/{one['id']}"
        assert (await (await admin.get(path)).json())["data"]["gaps"] == []
        said[one["entry_page"]] = json.dumps(await (await admin.get(f"{path}/playback")).json())
    assert ("Assam" in said["/shop"], "no. 3" in said["/shop"], "copy" in said["/shop"]) == (True, True, False)
    assert ("Thank you" in said["/two"], "copy 2" in said["/two"], "Assam" in said["/two"]) == (True, True, False)


async def test_a_stretch_that_never_arrived_is_marked(context, service, admin, recorded):
    who = {"key": recorded["pixel_key"], "visitor_id": "v", "session_id": "gap"}
    for sequence, events in ((0, opening(0)), (1, [scroll(4)]), (3, [*opening(20), scroll(24)])):
        body = {**who, "sequence": sequence, "events": events}
        answer = await admin.post("/analytics/replay", json=body, headers={"User-Agent": DESKTOP})
        assert await answer.json() == {"ok": True}
    (one,) = await all_stored(admin, recorded, 1)
    watching = await context.new_page()
    await watching.goto(f"{service.address}/replays#{recorded['id']}/{one['id']}")
    await watching.fill("#token", TOKEN)
    await watching.press("#token", "Enter")
    await watching.wait_for_selector("#loaded .gap", timeout=15_000)
    left, width = await watching.evaluate(
        "(({style}) => [parseFloat(style.left), parseFloat(style.width)])(document.querySelector('#loaded .gap'))"
    )
    assert (round(left), round(left + width)) == (round(100 * 4 / 24), round(100 * 20 / 24))
    await watching.close()


async def all_stored(admin: Caller, website: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The website's recordings, once there are so many and they grow no more."""
    before: list[dict[str, Any]] = []
    for _ in range(40):
        await asyncio.sleep(1)
        listed = (await (await admin.get(f"/analytics/websites/{website['id']}/replays")).json())["data"]
        if len(listed) >= count and [one["chunks"] for one in listed] == [one["chunks"] for one in before]:
            assert len(listed) == count
            return listed
        before = listed
    raise AssertionError(f"not stored in time: {before}")


def unmasked(tree: Any) -> Any:
    """The tree without what the service masked in its texts."""
    if isinstance(tree, str):
        return tree.replace("joe.miller@example.com", "*" * 22)
    return {**tree, "below": [unmasked(one) for one in tree["below"]]}


REFUSED = "Content Security Policy|Blocked script execution|Blocked form|Refused to"


def one_after_the_other() -> tuple[list[dict[str, Any]], int]:
    """The hostile recordings as one, a quarter of a second each; and how long it is, in milliseconds."""
    events, at = [], 0
    for recording in HOSTILE.values():
        begins = recording[0]["timestamp"]
        for event in recording:
            # What would come seconds later comes at once.
            passed = round((event["timestamp"] - begins) / 30)
            events.append({**event, "timestamp": NOON_MS + at + passed})
        at += 250
    return events, at


@pytest.mark.parametrize("cleaned", [True, False], ids=["as it is stored", "as if nothing had been cleaned"])
async def test_a_hostile_recording_runs_nothing_and_calls_nobody(cleaned, context, service, admin, recorded):
    events, length_ms = one_after_the_other()
    body = {
        "key": recorded["pixel_key"],
        "visitor_id": "v",
        "session_id": f"s-{cleaned}",
        "sequence": 0,
        "events": events,
    }
    answer = await admin.post("/analytics/replay", json=body, headers={"User-Agent": DESKTOP})
    assert (answer.status, await answer.json()) == (200, {"ok": True})
    replay = await replay_of(admin, recorded, 1)
    if not cleaned:
        raw = packing.compressed(packing.write(events))
        with psycopg.connect(service.noted("database_url"), autocommit=True) as db:
            db.execute("UPDATE replay_chunks SET data = %s WHERE replay_id = %s", (raw, replay["id"]))

    called: list[str] = []

    async def trapped(route: Any) -> None:
        called.append(route.request.url)
        await route.fulfill(body="")

    await context.route(f"**://{TRAP}/**", trapped)
    watching = await context.new_page()
    refused: list[str] = []
    watching.on("console", lambda line: refused.append(line.text) if re.search(REFUSED, line.text) else None)
    watching.on("dialog", lambda dialog: called.append(dialog.message))
    watching.on("popup", lambda popup: called.append(popup.url))
    address = f"{service.address}/replays#{recorded['id']}/{replay['id']}"
    await watching.goto(address)
    await watching.fill("#token", TOKEN)
    await watching.press("#token", "Enter")
    await watching.wait_for_function("() => window.replays.shown?.player")
    if cleaned:
        await watching.wait_for_function(
            "(length) => window.replays.shown.now >= length", arg=length_ms - 500, timeout=60_000
        )
    for at in range(240, length_ms, 250):  # what was not cleaned breaks the player here and there, and harms nobody
        await watching.evaluate("(at) => { try { window.replays.shown.pause(at); } catch (_) {} }", at)
        await watching.wait_for_timeout(60)
    await watching.wait_for_timeout(500)
    escaped = "() => [window, ...Array.from({length: frames.length}, (_, at) => frames[at])].map((one) => one.escaped)"
    assert set(await watching.evaluate(escaped)) == {None}
    assert called == []
    # What was cleaned does not even try; what was not is held by the page's policy and the frame's sandbox.
    assert (len(refused) > 10) is not cleaned, refused
    assert not (cleaned and refused), refused
    assert watching.url == address
    assert (await watching.query_selector("#screen iframe")) is not None
