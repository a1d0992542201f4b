"""Every number is counted a second time, in plain Python over the generated sessions, and must be the same."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

from analytics_app.stats import store
from analytics_app.stats.breakdown_store import breakdown
from analytics_app.stats.breakdowns import LINE_METRICS, Sort
from analytics_app.stats.export_store import events_of
from analytics_app.stats.filters import DIMENSIONS, NONE, dimension_named, parse_filter
from analytics_app.stats.logic import NEEDS, Totals
from analytics_app.stats.periods import Period, buckets_of
from analytics_app.stats.selection_store import selection_of
from tests.traffic import Event, Session, Traffic, load, make_traffic, utc

SPRING = utc("2026-03-01"), utc("2026-04-05")
AUTUMN = utc("2026-10-15"), utc("2026-11-10")
ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Europe/London")
COLUMNS = {"page": "path", "title": "title", "event": "name"}


@pytest.fixture(scope="session")
def worlds(store_url) -> dict[str, Traffic]:
    """Traffic of two websites over the clock changes of spring and autumn; a third holds nothing."""
    made = {
        "spring": make_traffic(1, sessions=1200, start=SPRING[0], end=SPRING[1], website_id=11),
        "autumn": make_traffic(2, sessions=1200, start=AUTUMN[0], end=AUTUMN[1], website_id=12),
        "empty": Traffic(13),
    }
    with psycopg.connect(store_url) as driver:
        for traffic in made.values():
            load(driver, traffic)
    with psycopg.connect(store_url, autocommit=True) as driver:
        driver.execute("ANALYZE")
    return made


# The second count.


def value_of(name: str, session: Session, event: Event | None) -> str | None:
    if name in ("entry_page", "exit_page"):
        return session.path_of(min if name == "entry_page" else max)
    if name.startswith("property:"):
        held = (event.properties or {}).get(name.removeprefix("property:"))
        return {True: "true", False: "false"}.get(held, str(held)) if held is not None else None
    return getattr(event, COLUMNS[name]) if name in COLUMNS else session.dimensions[name]


def is_of_event(name: str) -> bool:
    return name in COLUMNS or name.startswith("property:")


def recount(traffic: Traffic, start: datetime, end: datetime, filters: list[str] = []) -> Totals:  # noqa: B006
    asked = [parse_filter(text) for text in filters]
    of_event = [held for held in asked if is_of_event(held.dimension.name)]
    of_session = [held for held in asked if not is_of_event(held.dimension.name)]
    sums, visitors = defaultdict(int), set()
    for session in traffic.sessions:
        if not all(held.keeps(value_of(held.dimension.name, session, None)) for held in of_session):
            continue
        events = [
            event
            for event in session.events
            if all(held.keeps(value_of(held.dimension.name, session, event)) for held in of_event)
        ]
        within = [event for event in events if start <= event.at < end]
        sums["pageviews"] += sum(event.is_pageview for event in within)
        sums["events"] += sum(not event.is_pageview for event in within)
        if within or (not of_event and start < end and session.started_at < end and session.last_at >= start):
            visitors.add(session.visitor)
        if start <= session.started_at < end and (events or not of_event):
            sums["sessions"] += 1
            sums["bounces"] += session.is_bounce
            sums["duration_s"] += session.duration_s
            sums["session_pageviews"] += len(session.views)
    return Totals(visitors=len(visitors), **sums)


async def counted(db, traffic, start, end, filters=()):
    selection = await selection_of(db, traffic.website_id, map(parse_filter, filters), [(start, end)])
    return await store.totals(db, traffic.website_id, start, end, selection)


FILTERS = [
    ["country:is:GB"],
    ["country:is_not:GB"],
    [f"country:is:{NONE}"],
    [f"country:is_not:{NONE}"],
    [f"utm_medium:is:{NONE}"],
    ["country:is:XX"],
    ["country:is_not:XX"],
    ["referrer:contains:google"],
    ["referrer:not_contains:google"],
    ["entry_page:starts_with:/p"],
    ["exit_page:ends_with:ing"],
    ["browser:matches:^(Chrome|Safari)$", "source:is_not:Direct"],
    ["page:is:/pricing"],
    ["page:is_not:/pricing"],
    ["page:contains:%b_"],
    ["page:matches:^/p/[0-9]$"],
    ["page:starts_with:/", "country:is:US"],
    ["page:not_contains:p"],
    ["title:contains:é"],
    ["event:is:signup"],
    ["event:is:Kauf: fertig", "page:is:/"],
    [f"event:is:{NONE}"],
    ["property:plan:is:pro"],
    ["property:plan:is_not:pro"],
    ["property:size:is:3", "browser:is:Firefox"],
    ["property:a:b:is:true"],
    ["property:plan:matches:^f"],
    ["property:plan:contains:r", "event:is:signup"],
    [f"property:plan:is:{NONE}"],
]


@pytest.mark.parametrize("season", ["spring", "autumn"])
async def test_totals_are_those_of_a_recount_whatever_the_edges(db, worlds, season):
    traffic = worlds[season]
    first, last = {"spring": SPRING, "autumn": AUTUMN}[season]
    moment = traffic.sessions[7].events[-1].at
    for start, end in (
        (first - timedelta(days=2), last + timedelta(days=2)),
        (first + timedelta(days=3), first + timedelta(days=10)),
        (first + timedelta(days=3, minutes=7), first + timedelta(days=10, seconds=11)),
        (first + timedelta(days=5, minutes=1), first + timedelta(days=5, minutes=14)),
        (first + timedelta(days=5, minutes=1), first + timedelta(days=5, minutes=16)),
        (first + timedelta(days=5), first + timedelta(days=5, minutes=15)),
        (moment, moment + timedelta(milliseconds=1)),
        (moment - timedelta(seconds=1), moment),
        (moment, moment),
    ):
        assert await counted(db, traffic, start, end) == recount(traffic, start, end)


@pytest.mark.parametrize("filters", FILTERS, ids=" & ".join)
async def test_filtered_totals_are_those_of_a_recount(db, worlds, filters):
    traffic = worlds["autumn"]
    for start, end in (AUTUMN, (utc("2026-10-20T06:00"), utc("2026-10-21T07:13:05")), (AUTUMN[1], utc("2026-11-11"))):
        assert await counted(db, traffic, start, end, filters) == recount(traffic, start, end, filters)


async def test_a_website_without_traffic_counts_nothing_in_every_bucket(db, worlds):
    buckets = buckets_of(Period(*AUTUMN, ZoneInfo("UTC")), "day")
    assert await store.series(db, 13, buckets) == [Totals()] * 26
    assert await store.totals(db, 13, *AUTUMN) == Totals()
    assert await counted(db, worlds["empty"], *AUTUMN, ["page:is:/"]) == Totals()


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("season", ["spring", "autumn"])
async def test_a_series_is_that_of_a_recount_over_a_clock_change(db, worlds, season, zone, interval):
    traffic = worlds[season]
    start, end = {
        "spring": (utc("2026-03-06T02:10"), utc("2026-03-31T20:20")),
        "autumn": (utc("2026-10-22T02:10"), utc("2026-11-03T20:20")),
    }[season]
    for filters in ([], ["browser:is:Chrome"], ["page:is:/pricing"]):
        if interval == "hour" and filters:
            start = end - timedelta(days=3)
        buckets = buckets_of(Period(start, end, ZoneInfo(zone)), interval)
        selection = await selection_of(db, traffic.website_id, map(parse_filter, filters), [(start, end)])
        ends = [*buckets.starts[1:], end]
        wanted = [recount(traffic, *pair, filters) for pair in zip(buckets.starts, ends, strict=True)]
        assert await store.series(db, traffic.website_id, buckets, selection) == wanted


async def test_a_day_of_23_or_25_hours_is_counted_by_its_own_hours(db, worlds):
    """The same with nothing of ours in the count: pageviews by the local date of each."""
    for zone in map(ZoneInfo, ZONES):
        by_day: dict[date, int] = defaultdict(int)
        for _, event in worlds["autumn"].pairs():
            by_day[event.at.astimezone(zone).date()] += event.is_pageview
        start, end = (datetime(2026, month, day, tzinfo=zone).astimezone(UTC) for month, day in ((10, 20), (11, 8)))
        buckets = buckets_of(Period(start, end, zone), "day")
        found = await store.series(db, 12, buckets, wanted=NEEDS["pageviews"])
        assert {key: totals.pageviews for key, totals in zip(buckets.keys, found, strict=True)} == {
            (date(2026, 10, 20) + timedelta(days=n)).isoformat(): by_day[date(2026, 10, 20) + timedelta(days=n)]
            for n in range(19)
        }


async def test_a_metric_needs_no_more_sums_than_it_names(db, worlds):
    buckets = buckets_of(Period(*AUTUMN, ZoneInfo("UTC")), "week")
    for filters in ((), ("country:is:GB",)):
        selection = await selection_of(db, 12, map(parse_filter, filters), [AUTUMN])
        full = await store.series(db, 12, buckets, selection)
        for needed in NEEDS.values():
            some = await store.series(db, 12, buckets, selection, needed)
            assert [[getattr(t, name) for name in needed] for t in some] == [
                [getattr(t, name) for name in needed] for t in full
            ]


# Breakdowns: a line is what a filter on its value would give.

BROKEN_DOWN = ("page", "title", "event", "entry_page", "exit_page", "country", "utm_medium", "source", "property:plan")
BY_VISITORS = Sort("visitors")
START, END = utc("2026-10-20T06:00"), utc("2026-10-29T07:13:05")


async def lines_of(db, dimension, filters=(), sort=BY_VISITORS, limit=1000, after=None):
    selection = await selection_of(db, 12, map(parse_filter, filters), [(START, END)])
    return await breakdown(
        db, 12, START, END, selection, dimension_named(dimension), sort=sort, limit=limit, after=after
    )


@pytest.mark.parametrize("filters", [[], ["browser:is:Chrome"], ["page:starts_with:/p"]], ids=str)
@pytest.mark.parametrize("dimension", BROKEN_DOWN)
async def test_a_line_of_a_breakdown_counts_what_a_filter_on_its_value_does(db, worlds, dimension, filters):
    traffic = worlds["autumn"]
    values = {
        value_of(dimension, session, event)
        for session, event in traffic.pairs()
        if START - timedelta(days=1) < event.at
    }
    wanted = {}
    for value in values:
        if value is None and is_of_event(dimension):
            continue
        name = NONE if value is None else value
        totals = recount(traffic, START, END, [*filters, f"{dimension}:is:{name}"])
        if totals != Totals() and (dimension != "page" or totals.pageviews):
            wanted[name] = totals
    lines, after = await lines_of(db, dimension, filters)
    assert {line.value: line.totals for line in lines} == wanted
    assert after is None
    assert len(lines) == len(wanted)


@pytest.mark.parametrize("dimension", ["page", "source", "exit_page"])
async def test_engagement_is_the_mean_over_the_pageviews_of_the_line(db, worlds, dimension):
    time_s, scroll = defaultdict(int), defaultdict(int)
    for session, event in worlds["autumn"].pairs():
        if event.is_pageview and START <= event.at < END:
            value = value_of(dimension, session, event) or NONE
            time_s[value] += event.time_on_page_s
            scroll[value] += event.scroll_depth
    lines, _ = await lines_of(db, dimension)
    assert {line.value: line.time_on_page_s for line in lines if line.totals.pageviews} == time_s
    assert {line.value: line.scroll_depth for line in lines if line.totals.pageviews} == scroll


@pytest.mark.parametrize("metric", LINE_METRICS)
@pytest.mark.parametrize("descending", [True, False])
async def test_pages_of_a_breakdown_are_in_order_and_join_without_a_gap(db, worlds, metric, descending):
    sort = Sort(metric, descending)
    whole, _ = await lines_of(db, "page", sort=sort)
    paged, after = await lines_of(db, "page", sort=sort, limit=7)
    while after is not None:
        more, after = await lines_of(db, "page", sort=sort, limit=7, after=after)
        assert 0 < len(more) <= 7
        paged += more
    assert paged == whole
    keyed = [line.figures((metric,))[metric] for line in whole]
    assert keyed == sorted(keyed, reverse=descending)


async def test_equal_lines_are_in_the_order_of_their_values(db, worlds):
    lines, _ = await lines_of(db, "page", sort=Sort("visitors"))
    assert lines == sorted(lines, key=lambda line: (-line.totals.visitors, line.value))


@pytest.mark.parametrize("name", DIMENSIONS)
async def test_every_dimension_can_be_broken_down_and_filtered_by(db, worlds, name):
    lines, _ = await lines_of(db, name, limit=3)
    assert lines or not is_of_event(name)
    for line in lines:
        assert await counted(db, worlds["autumn"], START, END, [f"{name}:is:{line.value}"]) == line.totals


# The export.


async def exported(db, filters=(), piece=97):
    selection = await selection_of(db, 12, map(parse_filter, filters), [(START, END)])
    rows, place = await events_of(db, 12, START, END, selection, limit=piece)
    while place is not None:
        more, place = await events_of(db, 12, START, END, selection, limit=piece, after=place)
        rows += more
    return rows


async def test_the_export_holds_every_event_once_and_in_order(db, worlds):
    wanted = sorted((event.at, event.id) for _, event in worlds["autumn"].pairs() if START <= event.at < END)
    assert [(row["timestamp"], row["event_id"]) for row in await exported(db)] == wanted


async def test_an_exported_event_carries_its_texts_and_those_of_its_session(db, worlds):
    pairs = {event.id: (session, event) for session, event in worlds["autumn"].pairs()}
    for row in await exported(db, ["event:is:signup", "country:is_not:GB"]):
        session, event = pairs[row["event_id"]]
        assert row["type"] in ("event", "click", "form", "custom")
        assert (row["name"], row["path"], row["properties"]) == (event.name, event.path, event.properties)
        assert row["value"] == (event.value and float(event.value))
        assert {name: row[name] for name in session.dimensions} == session.dimensions
        assert len(row["visitor"]) == 32
