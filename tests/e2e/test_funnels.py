"""Funnels on the real service: a step shows in a moment, and killed workers change nothing."""

import copy
import json
import os
import random
import secrets
import signal
import time
import urllib.error
import urllib.request
import uuid
from collections import defaultdict
from pathlib import Path

import psycopg
import pytest

from tests import funnel_oracle as oracle
from tests.e2e.conftest import DESKTOP
from tests.e2e.service import Service, wait_until
from tests.traffic import load, make_traffic, utc

pytestmark = pytest.mark.services

TOKEN = secrets.token_urlsafe(24)
STEPS = [
    oracle.Step("pageview", "/shop*"),
    oracle.Step("pageview", "/cart", is_optional=True),
    oracle.Step("event", "buy"),
]
STRICT = [oracle.Step("pageview", "/shop/a"), oracle.Step("pageview", "/cart")]
SAMPLES = 5
PAGES = ["/shop/a", "/shop/b", "/cart", "/other"]


class Shop:
    """A website with funnels, its visitors, and what the API says of them."""

    def __init__(self, service: Service) -> None:
        self.service, self.key, self.website_id = service, service.key, service.website_id

    def call(self, method, path, body):
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "User-Agent": DESKTOP}
        request = urllib.request.Request(self.service.address + path, json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=15) as response:
            return json.load(response)

    def define(self, steps, **values):
        listed = [{"name": f"Step {place}", **vars(step)} for place, step in enumerate(steps, 1)]
        path = f"/analytics/websites/{self.website_id}/funnels"
        return self.call("POST", path, {"name": "A funnel", "steps": listed, **values})["data"]["id"]

    def visit(self, visitor, path=None, name=None):
        """Track a pageview, or an event, of a visitor."""
        what = {"type": "pageview", "path": path} if name is None else {"type": "event", "name": name}
        hit = {
            "key": self.key,
            "visitor_id": visitor,
            "session_id": f"{visitor}-session",
            "id": str(uuid.uuid4()),
            **what,
        }
        for _ in range(40):  # 503 while a process is away: the same id counts once
            try:
                assert self.call("POST", "/analytics/track", hit)["ok"]
            except (OSError, urllib.error.URLError):
                time.sleep(0.25)
            else:
                return
        raise AssertionError("a hit was not taken")

    def analysis(self, funnel_id, period=""):
        path = f"/analytics/websites/{self.website_id}/funnels/{funnel_id}/analysis{period}"
        return self.service.get(path, TOKEN)

    def kill_worker(self):
        """As the system may, at any moment."""
        (worker,) = (pid for role, pid in self.service.processes() if role == "worker")
        os.kill(worker, signal.SIGKILL)

    def expected(self, steps, *, is_strict=False):
        """Entrants and completed, by brute force from the stored events."""
        happened = defaultdict(list)
        for row in self.service.events(self.website_id):
            kind = 1 if row["kind"] == "pageview" else 2
            text = row["path"] if kind == 1 else row["name"]
            at_ms = round(row["at"].timestamp() * 1000)
            happened[row["visitor"]].append(oracle.Happened(at_ms, row["id"], row["session_id"], kind, text or ""))
        found = [oracle.attempts(steps, is_strict, 86_400_000, events) for events in happened.values()]
        required = sum(not step.is_optional for step in steps)
        best = [max(attempt.required for attempt in attempts) for attempts in found if attempts]
        return len(best), sum(deepest == required for deepest in best)

    def told(self, funnel_id, period=""):
        summary = self.analysis(funnel_id, period)["summary"]
        return summary["total_entrants"], summary["completed"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("funnels") / "data"
    settings = {"ANALYTICS_BOOTSTRAP_TOKEN": TOKEN, "ANALYTICS_TRACKING_RATE_LIMIT": "off"}
    with Service(folder, "--no-demo", **settings) as service:
        yield Shop(service)


def test_every_step_shows_in_the_analysis_within_two_seconds(shop):
    funnel_id = shop.define(STEPS)
    shop.visit("warm-up", "/shop/a")
    wait_until(lambda: shop.told(funnel_id) == (1, 0), 30)
    for number in range(1, SAMPLES + 1):
        visitor = f"sample-{number}"
        shop.visit(visitor, "/shop/b")
        wait_until(lambda entered=number + 1, bought=number - 1: shop.told(funnel_id) == (entered, bought), 2)
        shop.visit(visitor, name="buy")
        wait_until(lambda entered=number + 1, bought=number: shop.told(funnel_id) == (entered, bought), 2)
    assert [step["now"] for step in shop.analysis(funnel_id)["steps"]] == [1, 0, 0], "the first visitor's alone"


def test_workers_that_are_killed_and_a_funnel_made_meanwhile_change_nothing(shop):
    chance = random.Random(5)
    loose = shop.define(STEPS)
    strict = None
    for number in range(400):
        if number in (120, 260):
            shop.kill_worker()
        if number == 200:
            strict = shop.define(STRICT, is_strict=True)
        visitor = f"visitor-{chance.randrange(60)}"
        if chance.random() < 0.2:
            shop.visit(visitor, name="buy")
        else:
            shop.visit(visitor, chance.choice(PAGES))
    backfill = f"/analytics/websites/{shop.website_id}/funnels/{strict}/backfill"
    wait_until(lambda: shop.service.get(backfill, TOKEN)["data"]["state"] == "done", 60)
    wait_until(lambda: len(shop.service.events(shop.website_id)) >= 400, 60)
    wait_until(lambda: shop.told(loose) == shop.expected(STEPS), 30)
    wait_until(lambda: shop.told(strict) == shop.expected(STRICT, is_strict=True), 30)
    verified = shop.service.command("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_worker_killed_while_history_is_gone_through_loses_nothing_of_it(shop):
    site = shop.call("POST", "/analytics/websites", {"name": "Old", "host": "old.example"})["data"]
    old = copy.copy(shop)
    old.key, old.website_id = site["pixel_key"], site["id"]
    traffic = make_traffic(4, sessions=9_000, start=utc("2026-11-01"), end=utc("2026-11-20"), website_id=site["id"])
    with psycopg.connect(shop.service.noted("database_url")) as driver:
        load(driver, traffic)
    steps = [oracle.Step("pageview", "/p/*"), oracle.Step("pageview", "/pricing", True), oracle.Step("event", "signup")]
    loose, strict = old.define(steps), old.define(steps, is_strict=True)
    killed, found = 0, {"state": "waiting"}
    backfill, until = f"/analytics/websites/{site['id']}/funnels/{strict}/backfill", time.monotonic() + 120
    while found["state"] != "done":
        assert time.monotonic() < until, found
        assert found["state"] in ("waiting", "running"), found
        if found.get("done") and not killed:
            old.kill_worker()
            killed += 1
        time.sleep(0.05)
        found = shop.service.get(backfill, TOKEN)["data"]
    assert killed, "it was over before anybody could look"
    whole = "?start_date=2026-10-01&end_date=2026-11-25"
    wait_until(lambda: old.told(loose, whole) == old.expected(steps), 30)
    assert old.told(strict, whole) == old.expected(steps, is_strict=True)
    assert old.told(loose, whole)[1] > old.told(strict, whole)[1] > 0
    verified = shop.service.command("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
