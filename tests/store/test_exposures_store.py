"""What experiments come to is counted a second time, in plain Python over generated sessions, and must be the same.

Exposures come in any order, in any parts and more than once; goals were reached before and after them.
"""

import random
from collections import defaultdict
from datetime import timedelta

import psycopg
import pytest

from analytics_app.db import database_url, driver_of
from analytics_app.experiments.exposures_store import add_exposures, course, tally
from analytics_app.experiments.logic import First
from tests.traffic import load, make_traffic, utc

START, END = utc("2026-06-01"), utc("2026-06-15")
SITE = 34
EXPERIMENTS = range(3401, 3405)
GOALS = {
    ("pageview", "/pricing"): lambda event: event.is_pageview and event.path == "/pricing",
    ("pageview", "/p/*"): lambda event: event.is_pageview and event.path.startswith("/p/"),
    ("pageview", "*"): lambda event: event.is_pageview,
    ("pageview", "/a%b_c"): lambda event: event.is_pageview and event.path == "/a%b_c",
    ("pageview", "/nowhere"): lambda event: False,
    ("event", "signup"): lambda event: not event.is_pageview and event.name == "signup",
    ("event", "*i*"): lambda event: not event.is_pageview and "i" in event.name,
}
PERIODS = [(START, None), (START, END - timedelta(days=5)), (utc("2026-06-06T06:30"), utc("2026-06-09T07:13:05"))]


@pytest.fixture(scope="session")
async def shown(store_url):
    """Traffic, its visitors' numbers, and what they were shown: by experiment and visitor the times and variants."""
    from sqlalchemy.ext.asyncio import create_async_engine

    made, chance = make_traffic(10, sessions=700, start=START, end=END, website_id=SITE), random.Random(11)
    with psycopg.connect(store_url) as driver:
        load(driver, made)
        rows = driver.execute("SELECT id, visitor FROM sessions WHERE website_id = %s", (SITE,)).fetchall()
    numbers = {session.visitor: dict(rows)[session.id] for session in made.sessions}
    exposures = defaultdict(list)
    for experiment in EXPERIMENTS:
        for visitor in (*numbers.values(), -1, -2):  # and some who did nothing else
            for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
                at = START + timedelta(milliseconds=chance.randrange(14 * 86_400_000))
                exposures[experiment, visitor].append((at, chance.choice((1, 2) if chance.random() < 0.3 else (1,))))
    coming = [(key, at, variant) for key, some in exposures.items() for at, variant in some]
    coming += chance.sample(coming, len(coming) // 4)
    chance.shuffle(coming)
    engine = create_async_engine(database_url(store_url))
    async with engine.begin() as db:
        while coming:
            batch, coming = coming[:97], coming[97:]
            firsts = {}
            for key, at, variant in batch:
                first = First(SITE, variant, round(at.timestamp() * 1000))
                firsts[key] = firsts[key].joined(first) if key in firsts else first
            await add_exposures(await driver_of(db), firsts)
    await engine.dispose()
    return made, numbers, exposures


def reached_at(made, numbers, goal, since, until):
    """When each visitor reached the goal."""
    reached = defaultdict(list)
    for session, event in made.pairs():
        if GOALS[goal](event) and since <= event.at and (until is None or event.at < until):
            reached[numbers[session.visitor]].append(event.at)
    return reached


@pytest.mark.parametrize("goal", GOALS, ids=" ".join)
@pytest.mark.parametrize(("since", "until"), PERIODS)
async def test_the_tally_of_an_experiment_is_that_of_a_recount(db, shown, goal, since, until):
    made, numbers, exposures = shown
    reached = reached_at(made, numbers, goal, since, until)
    for experiment in EXPERIMENTS:
        wanted = defaultdict(lambda: [0, 0, 0])
        for (of, visitor), some in exposures.items():
            if of == experiment:
                first_at, variant = min(some)
                if len({variant for _, variant in some}) > 1:
                    wanted[variant][2] += 1
                else:
                    wanted[variant][0] += 1
                    wanted[variant][1] += any(at >= first_at for at in reached[visitor])
        found = await tally(db, SITE, experiment, goal, since, until)
        assert {variant: list(counts) for variant, counts in found.items()} == wanted


@pytest.mark.parametrize("goal", GOALS, ids=" ".join)
@pytest.mark.parametrize(("since", "until"), PERIODS)
async def test_the_course_has_each_visitor_and_conversion_when_they_came_first_and_adds_up_to_the_tally(
    db, shown, goal, since, until
):
    made, numbers, exposures = shown
    reached, starts = reached_at(made, numbers, goal, since, until), [since + timedelta(days=day) for day in range(6)]

    def place_of(at):
        return max(sum(start <= at for start in starts), 1) - 1

    for experiment in EXPERIMENTS:
        wanted = defaultdict(lambda: [0, 0])
        for (of, visitor), some in exposures.items():
            if of == experiment and len({variant for _, variant in some}) == 1:
                first_at, variant = min(some)
                wanted[variant, place_of(first_at)][0] += 1
                if after := [at for at in reached[visitor] if at >= first_at]:
                    wanted[variant, place_of(min(after))][1] += 1
        found = await course(db, SITE, experiment, goal, until, starts)
        assert {key: list(counts) for key, counts in found.items()} == wanted
        for variant, (visitors, conversions, _) in (await tally(db, SITE, experiment, goal, since, until)).items():
            of_variant = [counts for (id_, _), counts in found.items() if id_ == variant]
            assert [sum(column) for column in zip(*of_variant, strict=True)] == (
                [visitors, conversions] if visitors else []
            )
