"""A funnel's numbers, counted a second time in plain Python over made-up attempts."""

import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest

from analytics_app.db import driver_of
from analytics_app.funnels.logic import Funnel, Step
from analytics_app.funnels.numbers import steps as step_numbers
from analytics_app.funnels.numbers import summary
from analytics_app.stats import funnels_store
from analytics_app.stats.filters import dimension_named, parse_filter
from analytics_app.stats.selection_store import selection_of

WEBSITE, FUNNEL_ID = 77, 5
START = datetime(2026, 10, 1, tzinfo=UTC)
OPTIONAL = (False, False, True, False)
FUNNEL = Funnel(FUNNEL_ID, 3, False, 3_600_000, tuple(Step(n + 10, "pageview", "/", o) for n, o in enumerate(OPTIONAL)))
COUNTRIES = ["GB", "NP", None]
PAGES = ["/a", "/b", "/c"]


@dataclass(frozen=True)
class Made:
    """An attempt, and what its session was like."""

    visitor: int
    event_id: int
    at: datetime
    offsets: tuple[int | None, ...]
    country: str | None
    pages: frozenset[str]

    @property
    def required(self) -> int:
        return sum(self.offsets[place] is not None for place in (0, 1, 3))

    @property
    def rank(self):
        return -self.required, -sum(offset is not None for offset in self.offsets), self.at, self.event_id


def made_up(chance, number):
    depth, offset, offsets = chance.randint(1, 4), 0, [0]
    for place in range(1, 4):
        offset += chance.randint(0, 900_000)
        skipped = place == 2 and chance.random() < 0.5
        offsets.append(offset if place < depth and not skipped else None)
    return Made(
        chance.randint(1, 60),
        number,
        START + timedelta(minutes=chance.randint(0, 5 * 1440)),
        tuple(offsets),
        chance.choice(COUNTRIES),
        frozenset(chance.sample(PAGES, k=chance.randint(1, 2))),
    )


@pytest.fixture
async def attempts(db):
    """Three hundred attempts with their sessions, events and texts; some of another revision, which do not count."""
    chance = random.Random(3)
    made = [made_up(chance, number) for number in range(1, 301)]
    driver = await driver_of(db)
    terms = {}
    for kind, words in ((13, COUNTRIES), (1, PAGES)):
        for word in filter(None, words):
            row = await driver.execute(
                "INSERT INTO terms (website_id, kind, text) VALUES (%s, %s, %s) RETURNING id", (WEBSITE, kind, word)
            )
            terms[word] = (await row.fetchone())[0]
    for one in made:
        await driver.execute(
            "INSERT INTO sessions (id, started_at, last_at, visitor, website_id, duration_s, pageviews, events, "
            "engaged_s, is_bounce, country) VALUES (%s, %s, %s, %s, %s, 0, 1, 0, 0, false, %s)",
            (one.event_id, one.at, one.at, one.visitor, WEBSITE, terms.get(one.country)),
        )
        for place, page in enumerate(sorted(one.pages)):
            await driver.execute(
                "INSERT INTO events (id, at, session_id, visitor, website_id, path, kind) "
                "VALUES (%s, %s, %s, %s, %s, %s, 1)",
                (one.event_id * 10 + place, one.at, one.event_id, one.visitor, WEBSITE, terms[page]),
            )
        for revision, event_id in ((3, one.event_id), (2, one.event_id + 10_000)):
            taken = sum(offset is not None for offset in one.offsets)
            await driver.execute(
                "INSERT INTO funnel_runs (visitor, funnel_id, event_id, session_id, started_at, revision, required, "
                "taken, is_open, offsets_ms) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    one.visitor, FUNNEL_ID, event_id, one.event_id, one.at, revision, one.required, taken,
                    one.required < 3, list(one.offsets),
                ),
            )  # fmt: skip
    return made


def best(attempts):
    found = defaultdict(list)
    for one in attempts:
        found[one.visitor].append(one)
    return [min(theirs, key=lambda one: one.rank) for theirs in found.values()]


def rate(part, whole):
    return round(100 * part / whole, 2) if whole else 0.0


def expected_summary(attempts):
    counted = best(attempts)
    times = [one.offsets[3] / 1000 for one in counted if one.required == 3]
    return {
        "total_entrants": len(counted),
        "completed": len(times),
        "completion_rate": rate(len(times), len(counted)),
        "avg_completion_time": round(sum(times) / len(times)) if times else 0,
        "median_completion_time": round(median(times)) if times else 0,
        "total_steps": 4,
    }


def within(attempts, start, end):
    return [one for one in attempts if start <= one.at < end]


PERIODS = [(START, START + timedelta(days=6)), (START + timedelta(days=1, hours=3), START + timedelta(days=3))]


@pytest.mark.parametrize(("start", "end"), PERIODS)
async def test_the_numbers_are_those_of_each_visitors_best_attempt_of_the_period(db, attempts, start, end):
    everything = await selection_of(db, WEBSITE, [], [(start, end)])
    sums = await funnels_store.sums(db, WEBSITE, FUNNEL, start, end, everything)
    chosen = within(attempts, start, end)
    assert summary(FUNNEL, sums) == expected_summary(chosen)
    counted = best(chosen)
    told = step_numbers(FUNNEL, ["A", "B", "C", "D"], sums, {})
    for place, before in enumerate((0, 0, 1, 1)):
        took = [one for one in counted if one.offsets[place] is not None]
        came = sum(one.offsets[before] is not None for one in counted)
        times = [(one.offsets[place] - one.offsets[before]) / 1000 for one in took]
        step = told[place]
        assert step["visitors"] == len(took)
        assert (step["conversion_rate"], step["overall_rate"]) == (rate(len(took), came), rate(len(took), len(counted)))
        assert (step["drop_off"], step["drop_off_rate"]) == (came - len(took), rate(came - len(took), came))
        assert step["avg_time_from_previous"] == round(sum(times) / len(times))
        assert step["median_time_from_previous"] == round(median(times))


@pytest.mark.parametrize(
    ("said", "keeps"),
    [
        (["country:is:GB"], lambda one: one.country == "GB"),
        (["country:is:(none)"], lambda one: one.country is None),
        (["page:is:/a"], lambda one: "/a" in one.pages),
        (["country:is_not:GB", "page:matches:^/[bc]"], lambda one: one.country != "GB" and one.pages & {"/b", "/c"}),
    ],
)
async def test_filters_are_about_the_session_in_which_the_attempt_began(db, attempts, said, keeps):
    start, end = PERIODS[0]
    selection = await selection_of(db, WEBSITE, [parse_filter(one) for one in said], [(start, end)])
    sums = await funnels_store.sums(db, WEBSITE, FUNNEL, start, end, selection)
    assert summary(FUNNEL, sums) == expected_summary([one for one in attempts if keeps(one)])


@pytest.mark.parametrize("dimension", ["country", "page"])
async def test_a_breakdown_has_the_numbers_of_each_value_most_entrants_first(db, attempts, dimension):
    start, end = PERIODS[0]
    everything = await selection_of(db, WEBSITE, [], [(start, end)])
    named = dimension_named(dimension)
    found = await funnels_store.sums_by_value(db, WEBSITE, FUNNEL, start, end, everything, named, 50)
    groups = defaultdict(list)
    for one in attempts:
        for value in [one.country or "(none)"] if dimension == "country" else one.pages:
            groups[value].append(one)
    expected = {value: expected_summary(group) for value, group in groups.items()}
    assert {value: summary(FUNNEL, sums) for value, sums in found} == expected
    entrants = [sums.entrants for _, sums in found]
    assert entrants == sorted(entrants, reverse=True)


async def test_a_trend_has_the_best_attempt_of_each_day(db, attempts):
    start, end = PERIODS[0]
    starts = [start + timedelta(days=day) for day in range(6)]
    everything = await selection_of(db, WEBSITE, [], [(start, end)])
    found = await funnels_store.sums_by_time(db, WEBSITE, FUNNEL, starts, end, everything)
    expected = [expected_summary(within(attempts, day, day + timedelta(days=1))) for day in starts]
    assert [summary(FUNNEL, sums) for sums in found] == expected


async def test_who_stands_where_now_has_an_attempt_that_may_go_on(db, attempts):
    now = START + timedelta(days=2)
    everything = await selection_of(db, WEBSITE, [], [])
    found = await funnels_store.standing(db, WEBSITE, FUNNEL, now, everything)
    opened = [one for one in attempts if one.at >= now - timedelta(hours=1) and one.required < 3]
    opened = [one for one in opened if one.at < now + timedelta(days=1)]
    expected = defaultdict(int)
    for one in best(opened):
        expected[max(place for place, offset in enumerate(one.offsets) if offset is not None)] += 1
    assert found == expected
