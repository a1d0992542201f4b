"""Statistics: `/analytics/websites/{id}/stats`, `timeseries`, `breakdown`, `export`."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import faust
from aiohttp.web import Request, Response, StreamResponse

from analytics_app import clock
from analytics_app.db import snapshot
from analytics_app.errors import FaultyField, Invalid
from analytics_app.shapes import decode_cursor, encode_cursor
from analytics_app.stats import store
from analytics_app.stats.breakdown_store import breakdown
from analytics_app.stats.breakdowns import OF_ENGAGEMENT, cursor_of, parse_cursor, parse_metrics, parse_sort
from analytics_app.stats.csv_cells import csv_text
from analytics_app.stats.export_store import EXPORT_COLUMNS, Place, all_events, events_of
from analytics_app.stats.filters import dimension_named
from analytics_app.stats.logic import METRICS, NEEDS
from analytics_app.stats.periods import buckets_of
from analytics_app.stats.schemas import (
    CSV_LINES,
    TIMESERIES,
    BreakdownQuery,
    EventOut,
    ExportQuery,
    LineOut,
    Question,
    StatsOut,
    StatsQuery,
    TimeseriesQuery,
    figures,
)
from analytics_app.stats.selection_store import selection_of
from web.resource import Page, Resource, operation

blueprint = faust.web.Blueprint("stats")

JSON_OR_CSV = ("application/json", "text/csv")


@blueprint.route("/websites/{website_id}/stats", name="stats")
class Stats(Resource):
    """The numbers of a period."""

    tag = "Statistics"

    @operation(query=StatsQuery, answer=StatsOut, content_types=JSON_OR_CSV)
    async def get(self, request: Request, website_id: str) -> Response:
        """Pageviews, visitors, sessions, bounce rate and duration of a period, compared with another if asked for."""
        website, query = await self.website(request, website_id), self.query(request, StatsQuery)
        question = query.question(clock.now())
        answers = []
        async with snapshot() as db:
            selection = await selection_of(db, website.id, question.filters, question.spans)
            for period in filter(None, (question.period, question.previous)):
                found = await store.totals(db, website.id, period.start, period.end, selection)
                answers.append(figures(found, period))
        if wants_csv(request, query.format):
            rows = [{**answer.pop("period"), **answer} for answer in answers]
            return csv_answer([list(rows[0]), *(row.values() for row in rows)], filename("stats", website.id, question))
        told = StatsOut(**answers[0], previous=answers[1] if len(answers) > 1 else None)
        return self.json(told.model_dump(mode="json", exclude_none=True))


@blueprint.route("/websites/{website_id}/timeseries", name="timeseries")
class Timeseries(Resource):
    """The course of a number over a period."""

    tag = "Statistics"

    @operation(query=TimeseriesQuery, answer=TIMESERIES, content_types=JSON_OR_CSV)
    async def get(self, request: Request, website_id: str) -> Response:
        """A number for each hour, day, week or month of a period, empty ones included, in order."""
        website, query = await self.website(request, website_id), self.query(request, TimeseriesQuery)
        question, figure = query.question(clock.now()), METRICS[query.metric]
        answers: dict[str, dict[str, int | float]] = {}
        async with snapshot() as db:
            selection = await selection_of(db, website.id, question.filters, question.spans)
            for name, period in (("current", question.period), ("previous", question.previous)):
                if period is not None:
                    buckets = buckets_of(period, query.interval)
                    found = await store.series(db, website.id, buckets, selection, NEEDS[query.metric])
                    answers[name] = dict(zip(buckets.keys, map(figure, found), strict=True))
        if wants_csv(request, query.format):
            return csv_answer(_series_rows(answers, query.metric), filename("timeseries", website.id, question))
        return self.json(answers if question.previous else answers["current"])


@blueprint.route("/websites/{website_id}/breakdown", name="breakdown")
class Breakdown(Resource):
    """The numbers of each value of a dimension."""

    tag = "Statistics"

    @operation(query=BreakdownQuery, answer=Page(LineOut), content_types=JSON_OR_CSV)
    async def get(self, request: Request, website_id: str) -> Response:
        """The numbers of each page, source, country … of a period."""
        website, query = await self.website(request, website_id), self.query(request, BreakdownQuery)
        question, sort, metrics = query.question(clock.now()), parse_sort(query.sort), parse_metrics(query.metrics)
        as_csv = wants_csv(request, query.format)
        all_lines = as_csv and "limit" not in query.model_fields_set
        async with snapshot() as db:
            lines, after = await breakdown(
                db,
                website.id,
                question.period.start,
                question.period.end,
                await selection_of(db, website.id, question.filters, question.spans),
                dimension_named(query.dimension),
                sort=sort,
                limit=CSV_LINES if all_lines else query.limit,
                after=read_cursor(query.cursor, lambda said: parse_cursor(said, sort)),
                engagement=bool(OF_ENGAGEMENT & {*metrics, sort.metric}),
            )
        found = [line.figures(metrics) for line in lines]
        if as_csv:
            head = (query.dimension, *metrics)
            return csv_answer([head, *(line.values() for line in found)], filename("breakdown", website.id, question))
        return self.page(found, encode_cursor(cursor_of(sort, after)) if after else None)


@blueprint.route("/websites/{website_id}/export", name="export")
class Export(Resource):
    """The raw events of a period."""

    tag = "Statistics"
    needs_postgres = False  # a long answer; each piece asks by itself

    @operation(query=ExportQuery, answer=Page(EventOut), content_types=JSON_OR_CSV)
    async def get(self, request: Request, website_id: str) -> StreamResponse:
        """Raw events by time, with the dimensions of their sessions: in pages, or all of them as CSV."""
        website, query = await self.website(request, website_id), self.query(request, ExportQuery)
        question = query.question(clock.now())
        period, after = question.period, read_cursor(query.cursor, _read_place)
        async with snapshot() as db:
            selection = await selection_of(db, website.id, question.filters, question.spans)
            if not wants_csv(request, query.format):
                rows, place = await events_of(
                    db, website.id, period.start, period.end, selection, limit=query.limit, after=after
                )
                next_cursor = encode_cursor([place.at.isoformat(), place.id]) if place else None
                return self.page([EventOut(**row) for row in rows], next_cursor)
        response = StreamResponse(headers=csv_headers(filename("events", website.id, question)))
        started = False
        async for piece in all_events(snapshot, website.id, period.start, period.end, selection):
            if not started:  # only now: while Postgres is away this is a clear 503
                await response.prepare(request)
                await response.write(csv_text([EXPORT_COLUMNS]).encode())
                started = True
            await response.write(csv_text(row.values() for row in piece).encode())
        await response.write_eof()
        return response


def wants_csv(request: Request, asked: str | None) -> bool:
    """Whether the answer is to be CSV: `format` says so, or else the Accept header prefers it to JSON."""
    if asked is not None:
        return asked == "csv"
    weights = {"text/csv": 0.0, "application/json": 0.0}
    for part in request.headers.get("Accept", "").split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if kind in weights:
            weights[kind] = _weight(parameters)
    return weights["text/csv"] > 0 and weights["text/csv"] >= weights["application/json"]


def csv_answer(rows: Iterable[Iterable[Any]], name: str) -> Response:
    """`rows` as a CSV file."""
    return Response(body=csv_text(rows).encode(), headers=csv_headers(name))


def csv_headers(name: str) -> dict[str, str]:
    """The headers of a CSV file."""
    return {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": f'attachment; filename="{name}"',
    }


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def filename(what: str, website_id: int, question: Question) -> str:
    """What a CSV file of that is called."""
    period = question.period
    within = period.start, max(period.start, period.end - timedelta(microseconds=1))
    first, last = (at.astimezone(period.zone).date().isoformat() for at in within)
    return f"{what}-{website_id}-{first}-{last}.csv"


def _series_rows(answers: dict[str, dict[str, int | float]], metric: str) -> list[tuple[Any, ...]]:
    if "previous" not in answers:
        return [("date", metric), *answers["current"].items()]
    lines = [(name, key, value) for name, found in answers.items() for key, value in found.items()]
    return [("period", "date", metric), *lines]


def read_cursor(cursor: str | None, read: Any) -> Any:
    """What a cursor says. Raises `Invalid` where it is of another list."""
    if cursor is None:
        return None
    try:
        return read(decode_cursor(cursor))
    except (ValueError, TypeError) as error:
        raise Invalid(details=[FaultyField("cursor", str(error))]) from None


def _read_place(said: Any) -> Place:
    match said:
        case [str() as at, int() as number] if 0 <= number < 2**53:
            moment = datetime.fromisoformat(at)
            if moment.tzinfo is not None:
                return Place(moment, number)
    raise ValueError("must be the next_cursor of an earlier page of this list")
