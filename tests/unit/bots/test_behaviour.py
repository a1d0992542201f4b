import random

import pytest

from agents.watching import Watch
from analytics_app.bots.behaviour import HELD, Sent, Source, is_read, joint_suspicion, suspicion
from analytics_app.records import Seen


def sent(times, path=lambda n: f"/p/{n}", first=0):
    return [Sent(round(at * 1000), first + n, "5e" * 16, path(n)) for n, at in enumerate(times)]


def steady(count, every_s, jitter=0.0, seed=1):
    rng = random.Random(seed)
    return [n * every_s + rng.uniform(-jitter, jitter) for n in range(count)]


def people(count, within_s, seed=1):
    """Pages called by many people at times that depend on nothing: popular ones again and again."""
    rng = random.Random(seed)
    at = sorted(rng.uniform(0, within_s) for _ in range(count))
    return sent(at, path=lambda n: f"/{min(int(rng.expovariate(0.25)), 30)}")


@pytest.mark.parametrize(
    ("hits", "reason"),
    [
        (sent(steady(90, 0.4)), "rate"),
        (sent(steady(600, 0.05), path=lambda n: "/"), "rate"),
        (sent(steady(40, 1.0, 0.3)), "crawl_shape"),
        (sent(steady(40, 1.4)), "crawl_shape"),
        (sent(steady(40, 1.4), path=lambda n: "/"), None),
        (sent(steady(29, 1.0)), None),
        (sent(steady(100, 0.02)), None),
        (sent(steady(60, 0.4), path=lambda n: None), None),
    ],
)
def test_a_machine_is_told_by_its_rate_or_the_shape_of_its_crawl(hits, reason):
    assert suspicion(hits) == reason


def test_a_crawl_in_order_is_one_at_any_pace():
    rng = random.Random(2)
    at = sorted(rng.uniform(0, 60) for _ in range(40))
    assert suspicion(sent(at, path=lambda n: f"/article/{n}")) == "crawl_shape"


@pytest.mark.parametrize("seed", range(20))
def test_many_people_behind_one_address_and_browser_are_none(seed):
    assert suspicion(people(60, 60, seed)) is None
    assert joint_suspicion(people(300, 60, seed)) is None


def test_several_browsers_of_an_address_are_judged_together_by_order_alone():
    at = steady(60, 0.5)
    assert joint_suspicion(sent(at)) == "crawl_shape"
    shuffled = list(range(60))
    random.Random(3).shuffle(shuffled)
    assert joint_suspicion(sent(at, path=lambda n: f"/p/{shuffled[n]}")) is None


def test_who_reads_or_touches_pages_is_a_person():
    assert is_read(engaged_s=100, pageviews=60, interactions=0)
    assert is_read(engaged_s=0, pageviews=60, interactions=12)
    assert not is_read(engaged_s=20, pageviews=60, interactions=2)


def seen(n, at_s, source="ab" * 8, sender="cd" * 8, path=None, website_id=7):
    return Seen(website_id, sender, source, f"{n:032x}", n, round(at_s * 1000), path or f"/p/{n}")


class Told:
    """A record as the agent reads it."""

    def __init__(self, *what):
        self.seen = list(what)


def test_a_hit_told_twice_is_seen_once():
    source = Source("cd" * 8)
    for _ in range(2):
        for n in range(10):
            source.see(seen(n, n))
    assert len(source.hits) == 10
    for n in range(HELD * 2):
        source.see(seen(100 + n, n))
    assert len(source.hits) == HELD


def test_a_scraper_is_suspect_within_a_minute_of_its_first_page_and_not_asked_about_at_each_of_them():
    watch, found = Watch(), []
    for n in range(60):
        watch.see(0, [Told(seen(n, n))], lambda _: None)
        found += [(n, suspect) for suspect in watch.suspects(0, n * 1000)]
    assert 20 <= found[0][0] <= 45
    assert found[0][1].sources == ("ab" * 8,)
    assert len(found[0][1].keys) >= 30
    assert len(found) <= 8


def test_one_condemned_within_the_hour_needs_half_as_many():
    watch, found = Watch(), []
    for n in range(30):
        watch.see(0, [Told(seen(n, n))], lambda _: 0)
        found += [n for _ in watch.suspects(0, n * 1000)]
    assert found[0] < 25


def test_one_that_changes_its_browser_with_each_page_is_judged_by_its_address():
    watch, found = Watch(), []
    for n in range(50):
        watch.see(0, [Told(seen(n, n * 0.5, source=f"{n:016x}"))], lambda _: None)
        found += list(watch.suspects(0, n * 500))
    assert found
    assert len(found[0].sources) >= 30


def test_what_is_over_is_forgotten_and_what_others_have_too():
    watch = Watch()
    watch.see(0, [Told(seen(1, 0))], lambda _: None)
    watch.see(1, [Told(seen(2, 100, source="ef" * 8))], lambda _: None)
    list(watch.suspects(0, 100_000))
    assert watch.sources[0] == {}
    assert watch.senders[0] == {}
    watch.keep({0})
    assert 1 not in watch.sources


def test_what_was_stored_before_the_verdict_and_told_after_it_is_judged_at_once():
    watch, found = Watch(), []
    for n in range(40):
        watch.see(0, [Told(seen(n, n))], lambda _: None)
        found += list(watch.suspects(0, n * 1000))
    watch.condemned(found[0], 40_000)
    watch.see(0, [Told(seen(99, 39.9))], lambda _: None)
    [last] = watch.suspects(0, 40_100)
    assert f"{99:032x}" in last.keys
    assert list(watch.suspects(0, 40_200)) == [], "nothing new"
