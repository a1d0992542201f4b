"""Statistics over HTTP, on generated traffic; the numbers themselves are counted again in the tests of the store."""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.traffic import Traffic, load, make_traffic, utc
from tests.web.calls import Caller, assert_error

START, END = utc("2026-10-20"), utc("2026-10-27")
WEEK = {"start_date": "2026-10-20", "end_date": "2026-10-26"}


@dataclass
class Site:
    id: int
    traffic: Traffic
    caller: Caller

    async def ask(self, what: str, **parameters: Any) -> Any:
        return await self.caller.get(f"/analytics/websites/{self.id}/{what}", params=parameters)

    async def answer(self, what: str, **parameters: Any) -> Any:
        response = await self.ask(what, **parameters)
        assert response.status == 200, await response.text()
        return await response.json()

    async def table(self, what: str, **parameters: Any) -> list[list[str]]:
        response = await self.ask(what, format="csv", **parameters)
        assert (response.status, response.content_type) == (200, "text/csv")
        return list(csv.reader(io.StringIO(await response.text(), newline="")))

    def views(self, start: datetime = START, end: datetime = END) -> int:
        return sum(event.is_pageview and start <= event.at < end for _, event in self.traffic.pairs())


@pytest.fixture(scope="session")
async def site(admin: Caller, database: str) -> Site:
    website = await admin.new_website(name="Counted")
    traffic = make_traffic(5, sessions=300, start=START - timedelta(days=7), end=END, website_id=website["id"])
    with psycopg.connect(database) as driver:
        load(driver, traffic)
    return Site(website["id"], traffic, admin)


async def test_stats_have_the_shape_of_the_reference_and_more(site: Site):
    found = await site.answer("stats", **WEEK)
    assert set(found) == {
        "total_pageviews", "unique_visitors", "bounce_rate", "avg_session_duration", "period",
        "total_sessions", "total_events", "views_per_session",
    }  # fmt: skip
    assert found["period"] == {"start": "2026-10-20T00:00:00Z", "end": "2026-10-27T00:00:00Z"}
    assert found["total_pageviews"] == site.views()
    assert isinstance(found["avg_session_duration"], int)
    assert 0 < found["bounce_rate"] < 100


async def test_without_traffic_every_number_is_zero_and_none_is_null(admin: Caller):
    website = await admin.new_website()
    found = await (await admin.get(f"/analytics/websites/{website['id']}/stats")).json()
    period = {name: datetime.fromisoformat(at) for name, at in found.pop("period").items()}
    assert set(found.values()) == {0}
    assert period["end"] - period["start"] == timedelta(days=7)
    assert abs(period["end"] - datetime.now(UTC)) < timedelta(minutes=1)
    series = await (await admin.get(f"/analytics/websites/{website['id']}/timeseries")).json()
    assert set(series.values()) == {0}
    assert list(series) == sorted(series)
    page = await (await admin.get(f"/analytics/websites/{website['id']}/breakdown?dimension=page")).json()
    assert page == {"data": [], "meta": {"next_cursor": None}}


async def test_a_comparison_adds_the_same_numbers_of_the_period_before(site: Site):
    found = await site.answer("stats", **WEEK, compare="previous_period")
    previous = found.pop("previous")
    assert set(previous) == set(found)
    assert previous["period"] == {"start": "2026-10-13T00:00:00Z", "end": "2026-10-20T00:00:00Z"}
    assert previous["total_pageviews"] == site.views(START - timedelta(days=7), START)
    series = await site.answer("timeseries", **WEEK, compare="previous_year")
    assert set(series) == {"current", "previous"}
    assert next(iter(series["previous"])) == "2025-10-20"
    assert len(series["previous"]) == len(series["current"]) == 7


@pytest.mark.parametrize(
    "metric", ["pageviews", "visitors", "sessions", "events", "bounce_rate", "avg_session_duration"]
)
async def test_a_time_series_has_a_number_for_every_day_in_order(site: Site, metric: str):
    found = await site.answer("timeseries", **WEEK, metric=metric, timezone="Europe/London")
    assert list(found) == [f"2026-10-{day}" for day in range(20, 27)]
    assert all(isinstance(value, int | float) for value in found.values())


async def test_the_days_of_a_time_series_add_up_to_the_total(site: Site):
    for interval, keys in (("day", 7), ("week", 2), ("month", 1), ("hour", 168)):
        found = await site.answer("timeseries", **WEEK, metric="pageviews", interval=interval)
        assert (len(found), sum(found.values())) == (keys, site.views())


async def test_filters_narrow_and_must_all_hold(site: Site):
    whole = await site.answer("stats", **WEEK)
    british = await site.answer("stats", **WEEK, filter="country:is:GB")
    both = await site.caller.get(
        f"/analytics/websites/{site.id}/stats",
        params=[*WEEK.items(), ("filter", "country:is:GB"), ("filter", "browser:is_not:Chrome")],
    )
    assert 0 < (await both.json())["total_sessions"] < british["total_sessions"] < whole["total_sessions"]


@pytest.mark.parametrize(
    ("what", "parameters", "field"),
    [
        ("stats", {"timezone": "Mars/Base"}, "timezone"),
        ("stats", {"start_date": "soon"}, "start_date"),
        ("stats", {"start_date": "2026-10-21", "end_date": "2026-10-20"}, "start_date"),
        ("stats", {"end_date": "2026-02-30"}, "end_date"),
        ("stats", {"compare": "yesterday"}, "compare"),
        ("stats", {"format": "xml"}, "format"),
        ("stats", {"filter": "colour:is:red"}, "filter.0"),
        ("stats", {"filter": "page:matches:("}, "filter.0"),
        ("stats", {"filter": "page:is:a\0b"}, "filter.0"),
        ("timeseries", {"metric": "likes"}, "metric"),
        ("timeseries", {"interval": "minute"}, "interval"),
        ("timeseries", {"interval": "hour", "start_date": "2025-01-01", "end_date": "2025-12-31"}, "interval"),
        ("breakdown", {}, "dimension"),
        ("breakdown", {"dimension": "colour"}, "dimension"),
        ("breakdown", {"dimension": "page", "sort": "likes"}, "sort"),
        ("breakdown", {"dimension": "page", "metrics": "visitors,likes"}, "metrics"),
        ("breakdown", {"dimension": "page", "limit": "1001"}, "limit"),
        ("breakdown", {"dimension": "page", "cursor": "bm8"}, "cursor"),
        ("breakdown", {"dimension": "page", "cursor": "W10"}, "cursor"),
        ("export", {"cursor": "WyJ4IiwxXQ"}, "cursor"),
        ("export", {"limit": "0"}, "limit"),
    ],
)
async def test_a_faulty_question_is_told_where_it_is_wrong(site: Site, what: str, parameters: dict, field: str):
    await assert_error(await site.ask(what, **parameters), 400, "VALIDATION_ERROR", field)


async def test_all_faults_are_told_at_once(site: Site):
    response = await site.ask("timeseries", start_date="x", timezone="y", metric="z", filter="w")
    body = await assert_error(response, 400, "VALIDATION_ERROR")
    assert {fault["field"] for fault in body["details"]} == {"start_date", "timezone", "metric", "filter.0"}


async def test_a_breakdown_is_sorted_limited_and_paged(site: Site):
    whole = await site.answer("breakdown", **WEEK, dimension="page", limit=1000)
    assert set(whole["data"][0]) == {
        "value", "visitors", "pageviews", "sessions", "events", "bounce_rate", "avg_session_duration",
        "views_per_session", "avg_time_on_page", "avg_scroll_depth",
    }  # fmt: skip
    visitors = [line["visitors"] for line in whole["data"]]
    assert visitors == sorted(visitors, reverse=True)
    found, cursor = [], None
    while cursor or not found:
        more = {"cursor": cursor} if cursor else {}
        page = await site.answer("breakdown", **WEEK, dimension="page", limit=9, **more)
        found += page["data"]
        cursor = page["meta"]["next_cursor"]
    assert found == whole["data"]


async def test_a_breakdown_has_the_metrics_asked_for(site: Site):
    found = await site.answer("breakdown", **WEEK, dimension="property:plan", metrics="events,visitors", sort="events")
    assert [set(line) for line in found["data"]] == [{"value", "visitors", "events"}] * 2
    assert {line["value"] for line in found["data"]} == {"pro", "free"}


async def test_what_is_missing_is_called_none_and_can_be_filtered_by_that_name(site: Site):
    found = await site.answer("breakdown", **WEEK, dimension="country")
    line = next(line for line in found["data"] if line["value"] == "(none)")
    filtered = await site.answer("stats", **WEEK, filter="country:is:(none)")
    assert (filtered["unique_visitors"], filtered["total_sessions"]) == (line["visitors"], line["sessions"])


async def test_csv_is_asked_for_by_format_or_by_accept(site: Site):
    path = f"/analytics/websites/{site.id}/timeseries"
    for accept, wanted in (
        ("text/csv", "text/csv"),
        ("text/csv, application/json;q=0.5", "text/csv"),
        ("application/json, text/csv;q=0.5", "application/json"),
        ("text/csv;q=0", "application/json"),
        ("*/*", "application/json"),
    ):
        response = await site.caller.get(path, headers={"Accept": accept})
        assert response.content_type == wanted
    assert (
        await site.caller.get(f"{path}?format=json", headers={"Accept": "text/csv"})
    ).content_type == "application/json"
    response = await site.ask("timeseries", format="csv", **WEEK)
    assert f'filename="timeseries-{site.id}-2026-10-20-2026-10-26.csv"' in response.headers["Content-Disposition"]


async def test_csv_says_what_json_says(site: Site):
    stats = await site.answer("stats", **WEEK)
    head, line = await site.table("stats", **WEEK)
    assert dict(zip(head, line, strict=True))["total_pageviews"] == str(stats["total_pageviews"])
    series = await site.answer("timeseries", **WEEK, compare="previous_period")
    rows = await site.table("timeseries", **WEEK, compare="previous_period")
    assert rows[0] == ["period", "date", "pageviews"]
    assert rows[1:] == [[name, *map(str, pair)] for name, found in series.items() for pair in found.items()]
    lines = await site.answer("breakdown", **WEEK, dimension="source")
    rows = await site.table("breakdown", **WEEK, dimension="source")
    assert rows[0][:2] == ["source", "visitors"]
    assert rows[1:] == [[str(cell) for cell in line.values()] for line in lines["data"]]


async def test_csv_runs_nothing_in_a_spreadsheet(site: Site):
    rows = await site.table("breakdown", **WEEK, dimension="event")
    assert "'=cmd|' /C calc'!A0" in [row[0] for row in rows]


async def test_the_export_streams_every_event(site: Site):
    wanted = sorted((event.at, event.id) for _, event in site.traffic.pairs() if START <= event.at < END)
    head, *rows = await site.table("export", **WEEK)
    assert head[:6] == ["event_id", "timestamp", "type", "visitor", "session_id", "path"]
    assert [int(row[0]) for row in rows] == [number for _, number in wanted]
    found, cursor = [], None
    while cursor or not found:
        more = {"cursor": cursor} if cursor else {}
        page = await site.answer("export", **WEEK, limit=300, **more)
        found += page["data"]
        cursor = page["meta"]["next_cursor"]
    assert [event["event_id"] for event in found] == [number for _, number in wanted]


async def test_an_empty_export_is_its_head(site: Site):
    assert len(await site.table("export", start_date="2024-01-01", end_date="2024-01-02")) == 1


@pytest.mark.parametrize("what", ["stats", "timeseries", "breakdown?dimension=page", "export"])
async def test_numbers_are_for_who_may_read_the_website(site: Site, stranger: Caller, nobody: Caller, what: str):
    path = f"/analytics/websites/{site.id}/{what}"
    await assert_error(await nobody.get(path), 401, "UNAUTHENTICATED")
    await assert_error(await stranger.get(path), 404, "NOT_FOUND")
    await assert_error(await site.caller.get(path.replace(str(site.id), "999999")), 404, "NOT_FOUND")
    await assert_error(await site.caller.post(path), 405, "METHOD_NOT_ALLOWED")
