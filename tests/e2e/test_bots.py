"""Bots against the whole service: driven browsers, a scraper that looks like a browser, and people who stay."""

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import async_playwright

from tests.e2e.conftest import CHROMIUM, FLAGS, client_of, listen
from tests.e2e.tracker.collector import Collector
from tests.e2e.tracker.conftest import Site

BROWSERS = {"Accept-Language": "en-GB", "Origin": "https://example.com", "Sec-Fetch-Mode": "cors"}
CAUGHT_WITHIN_S = 60


async def totals(admin, website):
    path = f"/analytics/websites/{website['id']}"
    stats = await (await admin.get(f"{path}/stats")).json()
    bots = await (await admin.get(f"{path}/bots/stats")).json()
    return stats["total_pageviews"], bots["totals"], bots["bot_types"]


async def until(condition, within_s=20):
    """Returns what `condition` gives once that is true."""
    end = time.monotonic() + within_s
    while not (found := await condition()):
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.3)
    return found


@pytest.fixture
async def site(service, website):
    site = Site(Collector(service.address, website["pixel_key"]))
    application = web.Application()
    application.router.add_get("/{tail:.*}", site.serve)
    runner, site.url = await listen(application)
    yield site
    await runner.cleanup()


def needed(there, reason):
    if not there:
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


async def look_at(page, site):
    async with page.expect_response(lambda response: response.url.endswith("/analytics/track")) as answer:
        await page.goto(site.page("/"))
    assert (await answer.value).status == 200
    return await (await answer.value).json()


@pytest.mark.browser
async def test_a_headless_browser_is_caught_even_where_it_names_another(site, admin, website):
    needed(CHROMIUM.exists(), f"no chromium at {CHROMIUM}; install it, or set CHROMIUM to its path")
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for given in ({}, {"user_agent": agent}):
            page = await (await browser.new_context(**given)).new_page()
            assert "ignored" not in await look_at(page, site), "a bot is not told"
        await browser.close()
    detections = f"/analytics/websites/{website['id']}/bots/detections"

    async def both():
        found = (await (await admin.get(detections)).json())["data"]
        return found if len(found) == 2 else None

    disguised, plain = await until(both)
    assert {disguised["type"], plain["type"]} == {"headless"}
    assert "webdriver" in disguised["reasons"]
    assert plain["name"] == "HeadlessChrome"
    assert (await totals(admin, website))[0] == 0


@pytest.mark.browser
async def test_a_browser_with_a_window_is_a_person_s(site, admin, website, tmp_path):
    needed(CHROMIUM.exists(), f"no chromium at {CHROMIUM}; install it, or set CHROMIUM to its path")
    xvfb = shutil.which("Xvfb")
    needed(xvfb, "no Xvfb to show a window on; install the package xvfb")
    read, write = os.pipe()
    screen = subprocess.Popen([xvfb, "-displayfd", str(write), "-screen", "0", "1280x800x24"], pass_fds=[write])
    os.close(write)
    try:
        number = await asyncio.to_thread(lambda: os.read(read, 20).decode().strip())
        environment = {**os.environ, "DISPLAY": f":{number}"}
        profile = Path(tmp_path) / "profile"
        window = await asyncio.create_subprocess_exec(
            CHROMIUM, *FLAGS, f"--user-data-dir={profile}", site.page("/"), env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:

            async def counted():
                return (await totals(admin, website))[0]

            assert await until(counted, 40) == 1
        finally:
            window.terminate()
            await window.wait()
    finally:
        os.close(read)
        screen.terminate()
        screen.wait()
    assert (await (await admin.get(f"/analytics/websites/{website['id']}/bots/detections")).json())["data"] == []


@pytest.fixture
async def met(admin, website):
    """Who meets a goal by reading articles, and who goes through a funnel of two of them: a function that counts."""
    path = f"/analytics/websites/{website['id']}"
    article = {"match_type": "pageview", "match_value": "/article/*"}
    goal = {"name": "Reads", "type": "pageview", "match_type": "starts_with", "match_value": "/article/"}
    funnel = {"name": "Reads on", "steps": [{"name": name, **article} for name in ("One", "Another")]}
    ids = {}
    for kind, body in (("goals", goal), ("funnels", funnel)):
        answer = await admin.post(f"{path}/{kind}", json=body)
        assert answer.status == 201, await answer.text()
        ids[kind] = (await answer.json())["data"]["id"]

    async def met():
        goal = await (await admin.get(f"{path}/goals/{ids['goals']}/conversions/stats")).json()
        funnel = (await (await admin.get(f"{path}/funnels/{ids['funnels']}/analysis")).json())["summary"]
        return goal["converted_visitors"], funnel["total_entrants"], funnel["completed"]

    return met


async def test_a_scraper_that_looks_like_a_browser_is_caught_and_people_beside_it_stay(
    service, admin, nobody, website, met
):
    key, sent, began = website["pixel_key"], 0, time.monotonic()
    mobile = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Safari/604.1"
    for person, path in enumerate(("/", "/", "/article/a", "/article/b", "/article/a")):  # behind the same address
        body = {"key": key, "path": path, "visitor_id": f"person {min(person, 3)}"}
        assert (
            await nobody.post("/analytics/track", json=body, headers={**BROWSERS, "User-Agent": mobile})
        ).status == 200
    caught, most_met = False, (0, 0, 0)
    while not caught:
        assert time.monotonic() - began < CAUGHT_WITHIN_S, "not caught in time"
        body = {
            "key": key,
            "path": f"/article/{sent}",
            "visitor_id": f"visitor {sent // 2}",
            "session_id": f"session {sent // 2}",
        }
        answer = await nobody.post("/analytics/track", json=body, headers=BROWSERS)
        assert set(await answer.json()) == {"ok", "event_id", "visitor_id", "session_id"}, "the same before and after"
        sent += 1
        await asyncio.sleep(0.4)
        if sent % 10 == 0:
            most_met = max(most_met, await met())
            _, bots, _ = await totals(admin, website)
            caught = bots["blocked_requests"] > 0

    async def accounted():
        views, bots, types = await totals(admin, website)
        return (views, types) if bots["total_requests"] == sent + 5 else None

    assert await until(accounted) == (5, {"scraper": sent})
    assert min(most_met) > 2, "it was counted until it was known"

    async def only_people():
        return await met() == (2, 2, 1)

    await until(only_people)
    # What follows is left out where it arrives.
    await nobody.post("/analytics/track", json={"key": key, "path": "/more"}, headers=BROWSERS)
    sent += 1
    assert await until(accounted) == (5, {"scraper": sent})
    checked = await asyncio.to_thread(service.command, "verify")
    assert checked.returncode == 0, checked.stdout


async def test_a_rule_holds_in_every_process_within_two_seconds(service, admin, nobody, website):
    other = service.another_web(ANALYTICS_TRACKING_RATE_LIMIT="off").wait()
    try:
        rules = f"/analytics/websites/{website['id']}/bots/rules"
        made = await admin.post(
            rules, json={"rule_type": "blacklist", "match_type": "ip_range", "match_value": "127.0.0.0/8"}
        )
        assert made.status == 201
        await asyncio.sleep(2)
        async with client_of(other.address) as client:
            body = {"key": website["pixel_key"], "path": "/"}
            assert (await client.post("/analytics/track", json=body, headers=BROWSERS)).status == 200
        await nobody.post("/analytics/track", json={"key": website["pixel_key"], "path": "/"}, headers=BROWSERS)

        async def blocked():
            views, bots, types = await totals(admin, website)
            return (views, types) if bots["blocked_requests"] == 2 else None

        assert await until(blocked) == (0, {"blacklisted": 2})
    finally:
        assert other.stop() == 0
