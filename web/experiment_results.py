"""What experiments come to: asked for, over time, and pushed."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import faust
from aiohttp.web import Request, Response, StreamResponse
from sqlalchemy import Row

from analytics_app import clock
from analytics_app.db import snapshot
from analytics_app.errors import NotFound
from analytics_app.experiments import exposures_store, store
from analytics_app.experiments.schemas import COURSE, CourseQuery, ExperimentSaid, PointOut, ResultsOut
from analytics_app.stats.logic import percent
from analytics_app.stats.periods import Period, buckets_of
from web.event_streams import Pushed, event_stream
from web.experiments import TAG, variants_of
from web.resource import Resource, operation

blueprint = faust.web.Blueprint("experiment_results")

KEPT_S = 0.5
PUSHED_EVERY_S = 1.0

Key = tuple[int, int]
"""A website and its experiment."""


@dataclass(slots=True)
class Kept:
    """Results, or who is counting them, and until when they will do."""

    counting: asyncio.Future[ResultsOut]
    until: float


class Results:
    """The results that somebody asked this process for a moment ago: however many ask, they are counted once."""

    def __init__(self) -> None:
        self._kept: dict[Key, Kept] = {}

    async def of(self, website_id: int, experiment_id: int) -> ResultsOut:
        """The results, at most half a second old. Raises `NotFound`, and what the database raises."""
        key, now = (website_id, experiment_id), clock.monotonic()
        kept = self._kept.get(key)
        if kept is None or (kept.counting.done() and now > kept.until):
            self._kept = {other: held for other, held in self._kept.items() if now <= held.until}
            counting = asyncio.ensure_future(counted(website_id, experiment_id))
            kept = self._kept[key] = Kept(counting, now + KEPT_S)
            counting.add_done_callback(lambda done: self._counted(key, done))
        return await asyncio.shield(kept.counting)

    def _counted(self, key: Key, done: "asyncio.Future[ResultsOut]") -> None:
        if done.cancelled() or done.exception() is not None:
            self._kept.pop(key, None)


RESULTS = Results()
"""Those of this process."""


async def counted(website_id: int, experiment_id: int) -> ResultsOut:
    """The results as of now. Raises `NotFound`."""
    async with snapshot() as db:
        row = await store.experiment_of(db, website_id, experiment_id)
        if row is None:
            raise NotFound
        variants = (await store.variants_of(db, [experiment_id]))[experiment_id]
        counts = await exposures_store.tally(
            db, website_id, experiment_id, (row.goal_type, row.goal_value), row.started_at, row.stopped_at
        )
    return await asyncio.to_thread(analysed, row, variants, counts, ran_s(row))


def ran_s(row: Row[Any]) -> float:
    """For how many seconds the experiment has been running."""
    since = row.running_since
    return float(row.ran_s) + (max(0.0, (clock.now() - since).total_seconds()) if since else 0.0)


def analysed(
    row: Row[Any], variants: list[Row[Any]], counts: dict[int, tuple[int, int, int]], seconds: float
) -> ResultsOut:
    """What the counts say."""
    # Loaded at the first question, in a thread of its own: scipy takes seconds.
    from analytics_app.experiments.results import Tally, results  # noqa: PLC0415
    from analytics_app.experiments.statistics import Arm  # noqa: PLC0415

    arms = {variant_id: Arm(visitors, converted) for variant_id, (visitors, converted, _) in counts.items()}
    tally = Tally(arms, sum(multiple for _, _, multiple in counts.values()))
    said = ExperimentSaid(id=row.id, name=row.name, status=row.status)
    return results(said, variants_of(variants), tally, seconds)


def course_of(
    keys: list[str], variant_ids: list[int], counts: Mapping[tuple[int, int], tuple[int, int]]
) -> dict[str, dict[str, PointOut]]:
    """The counts of each bucket, in order, added up as they went."""
    totals, course = dict.fromkeys(variant_ids, (0, 0)), {}
    for place, key in enumerate(keys):
        points = {}
        for variant_id in variant_ids:
            visitors, conversions = counts.get((variant_id, place), (0, 0))
            all_visitors, converted = totals[variant_id]
            all_visitors, converted = totals[variant_id] = all_visitors + visitors, converted + conversions
            points[str(variant_id)] = PointOut(
                visitors=visitors,
                conversions=conversions,
                total_visitors=all_visitors,
                total_conversions=converted,
                conversion_rate=percent(converted, all_visitors),
            )
        course[key] = points
    return course


async def look(keys: list[Key]) -> dict[Key, dict[str, Any]]:
    """The results that somebody follows, as JSON holds them; without those of experiments that are gone."""
    found = {}
    for key in keys:
        with suppress(NotFound):
            found[key] = (await RESULTS.of(*key)).model_dump(mode="json")
    return found


PUSHED = Pushed("results", look, every_s=PUSHED_EVERY_S)


@blueprint.route("/websites/{website_id}/experiments/{experiment_id}/results", name="results")
class ExperimentResults(Resource):
    """What an experiment has come to."""

    tag = TAG

    @operation(answer=ResultsOut)
    async def get(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """The results so far: safe to look at at any time, and at every moment."""
        website = await self.website(request, website_id)
        return self.json(await RESULTS.of(website.id, self.id(experiment_id)))


@blueprint.route("/websites/{website_id}/experiments/{experiment_id}/results/trend", name="results_trend")
class ExperimentTrend(Resource):
    """How an experiment came to its results."""

    tag = TAG

    @operation(query=CourseQuery, answer=COURSE)
    async def get(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """How each variant stood at the end of every hour, day, week or month since the start, until now."""
        website, query = await self.website(request, website_id), self.query(request, CourseQuery)
        wanted = self.id(experiment_id)
        async with snapshot() as db:
            row = await store.experiment_of(db, website.id, wanted)
            if row is None:
                raise NotFound
            if row.started_at is None:
                return self.json({})
            variants = (await store.variants_of(db, [wanted]))[wanted]
            until = row.stopped_at or clock.now()
            period = Period(row.started_at, until + timedelta(microseconds=1), ZoneInfo(query.timezone))
            buckets = buckets_of(period, query.interval)
            goal = row.goal_type, row.goal_value
            counts = await exposures_store.course(db, website.id, wanted, goal, row.stopped_at, buckets.starts)
        return self.json(course_of(buckets.keys, [variant.id for variant in variants], counts))


@blueprint.route("/websites/{website_id}/experiments/{experiment_id}/results/stream", name="results_stream")
class ExperimentResultsStream(Resource):
    """The same, pushed."""

    tag = TAG
    needs_postgres = False

    @operation(answer=event_stream("results", "an experiment's results"), content_types=("text/event-stream",))
    async def get(self, request: Request, website_id: str, experiment_id: str) -> StreamResponse:
        """The results now and at each change, as server-sent events; a comment line every 15 s keeps it open."""
        website, wanted = await self.website(request, website_id), self.id(experiment_id)
        results = await RESULTS.of(website.id, wanted)
        return await PUSHED.stream(request, (website.id, wanted), results.model_dump(mode="json"))
