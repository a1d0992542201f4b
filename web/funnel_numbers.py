"""The numbers of a funnel: `/analytics/websites/{id}/funnels/{funnelId}/analysis`, `trend`, `stream`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from aiohttp.web import Request, Response, StreamResponse
from faust.web import Blueprint
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import clock
from analytics_app.db import snapshot
from analytics_app.errors import NotFound
from analytics_app.funnels import numbers, store
from analytics_app.funnels.logic import Funnel
from analytics_app.funnels.schemas import TREND, AnalysisOut, AnalysisQuery, StreamQuery, TrendQuery
from analytics_app.stats import funnels_store
from analytics_app.stats.filters import dimension_named
from analytics_app.stats.periods import Period, buckets_of
from analytics_app.stats.schemas import PeriodQuery, Question
from analytics_app.stats.selection_store import Selection, selection_of
from web.event_streams import Pushed, event_stream
from web.resource import Resource, operation

blueprint = Blueprint("funnel_numbers")

LOOKED_EVERY_S = 1.0


class Asked(NamedTuple):
    """A question about a funnel, with what it is called."""

    website_id: int
    funnel: Funnel
    name: str
    step_names: list[str]
    question: Question
    selection: Selection


async def asked(db: AsyncConnection, website_id: int, funnel_id: int, query: PeriodQuery) -> Asked | None:
    """The question; None where the website has no such funnel. Raises `Invalid` where its period is none."""
    question = query.question(clock.now())
    row = await store.funnel_of(db, website_id, funnel_id)
    if row is None:
        return None
    steps = (await store.steps_of(db, [funnel_id]))[funnel_id]
    selection = await selection_of(db, website_id, question.filters, question.spans)
    names = [step.name for step in steps]
    return Asked(website_id, store.counted(row, steps), row.name, names, question, selection)


async def analysis(db: AsyncConnection, held: Asked) -> dict[str, Any]:
    """The numbers of the funnel in the period asked about."""
    head = {"funnel_id": held.funnel.id, "funnel_name": held.name}
    if not held.funnel.steps:
        return head | {"summary": numbers.summary(held.funnel, numbers.nothing(held.funnel)), "steps": []}
    now = await funnels_store.standing(db, held.website_id, held.funnel, clock.now(), held.selection)
    return head | await of_period(db, held, held.question.period, now)


async def of_period(db: AsyncConnection, held: Asked, period: Period, now: Mapping[int, int]) -> dict[str, Any]:
    """The numbers of a period."""
    sums = await funnels_store.sums(db, held.website_id, held.funnel, period.start, period.end, held.selection)
    return told(held, sums, now)


def told(held: Asked, sums: numbers.Sums, now: Mapping[int, int]) -> dict[str, Any]:
    """What the sums come to."""
    return {
        "summary": numbers.summary(held.funnel, sums),
        "steps": numbers.steps(held.funnel, held.step_names, sums, now),
    }


@blueprint.route("/websites/{website_id}/funnels/{funnel_id}/analysis", name="analysis")
class FunnelAnalysis(Resource):
    """The numbers of a funnel."""

    tag = "Funnels"

    @operation(query=AnalysisQuery, answer=AnalysisOut)
    async def get(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """Who entered, how far they came and how long it took, in a period; and where visitors stand now."""
        website, query = await self.website(request, website_id), self.query(request, AnalysisQuery)
        wanted = self.id(funnel_id)
        async with snapshot() as db:
            held = await asked(db, website.id, wanted, query)
            if held is None:
                raise NotFound
            answer = await analysis(db, held)
            period, previous = held.question.period, held.question.previous
            answer["period"] = {"start": period.start, "end": period.end}
            if previous is not None:
                span = {"start": previous.start, "end": previous.end}
                answer["previous"] = {**(await self.previous(db, held, previous)), "period": span}
            if query.breakdown is not None:
                answer["breakdown"] = await self.breakdown(db, held, query.breakdown, query.limit)
        return self.json(AnalysisOut(**answer).model_dump(mode="json", exclude_none=True))

    async def previous(self, db: AsyncConnection, held: Asked, previous: Period) -> dict[str, Any]:
        """The numbers of the time compared with; nobody stands there now."""
        if not held.funnel.steps:
            return told(held, numbers.nothing(held.funnel), {})
        return await of_period(db, held, previous, {})

    async def breakdown(self, db: AsyncConnection, held: Asked, dimension: str, limit: int) -> list[dict[str, Any]]:
        """The numbers of each value of a dimension."""
        if not held.funnel.steps:
            return []
        period = held.question.period
        found = await funnels_store.sums_by_value(
            db, held.website_id, held.funnel, period.start, period.end, held.selection,
            dimension_named(dimension), limit,
        )  # fmt: skip
        return [{"value": value, **told(held, sums, {})} for value, sums in found]


@blueprint.route("/websites/{website_id}/funnels/{funnel_id}/trend", name="trend")
class FunnelTrend(Resource):
    """The course of a funnel over a period."""

    tag = "Funnels"

    @operation(query=TrendQuery, answer=TREND)
    async def get(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """Entrants and completions of each hour, day, week or month of a period, by when the attempt began."""
        website, query = await self.website(request, website_id), self.query(request, TrendQuery)
        wanted = self.id(funnel_id)
        answers: dict[str, dict[str, Any]] = {}
        async with snapshot() as db:
            held = await asked(db, website.id, wanted, query)
            if held is None:
                raise NotFound
            for name, period in (("current", held.question.period), ("previous", held.question.previous)):
                if period is not None:
                    answers[name] = await self.points(db, held, period, query)
        return self.json(answers if "previous" in answers else answers["current"])

    async def points(self, db: AsyncConnection, held: Asked, period: Period, query: TrendQuery) -> dict[str, Any]:
        """The numbers of each bucket, in order."""
        buckets = buckets_of(period, query.interval)
        if held.funnel.steps:
            found = await funnels_store.sums_by_time(
                db, held.website_id, held.funnel, buckets.starts, buckets.end, held.selection
            )
        else:
            found = [numbers.nothing(held.funnel)] * len(buckets.keys)
        names = ("total_entrants", "completed", "completion_rate", "avg_completion_time")
        summaries = [numbers.summary(held.funnel, sums) for sums in found]
        return {
            key: {name: summary[name] for name in names} for key, summary in zip(buckets.keys, summaries, strict=True)
        }


class Followed(NamedTuple):
    """What somebody follows: a funnel, and the question in JSON."""

    website_id: int
    funnel_id: int
    query: str


async def look(followed: list[Followed]) -> dict[Followed, dict[str, Any]]:
    """The present numbers of what is followed; funnels that are gone are missing."""
    found = {}
    for key in followed:
        async with snapshot() as db:
            held = await asked(db, key.website_id, key.funnel_id, StreamQuery.model_validate_json(key.query))
            if held is not None:
                found[key] = await analysis(db, held)
    return found


def tell(view: dict[str, Any]) -> bytes:
    """The numbers as they are pushed."""
    return orjson.dumps(AnalysisOut(**view).model_dump(mode="json", exclude_none=True))


PUSHED = Pushed("funnel", look, tell, every_s=LOOKED_EVERY_S)


@blueprint.route("/websites/{website_id}/funnels/{funnel_id}/stream", name="stream")
class FunnelStream(Resource):
    """The numbers of a funnel, pushed."""

    tag = "Funnels"
    needs_postgres = False

    @operation(query=StreamQuery, answer=event_stream("funnel", "an analysis"), content_types=("text/event-stream",))
    async def get(self, request: Request, website_id: str, funnel_id: str) -> StreamResponse:
        """The analysis now and at each change, as server-sent events; a comment line every 15 s keeps it open."""
        website, query = await self.website(request, website_id), self.query(request, StreamQuery)
        key = Followed(website.id, self.id(funnel_id), query.model_dump_json())
        views = await look([key])
        if key not in views:
            raise NotFound
        return await PUSHED.stream(request, key, views[key])
