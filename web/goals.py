"""Goals: `/analytics/websites/{id}/goals`, their conversions and how far their computation is."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import faust
from aiohttp.web import Request, Response

from analytics_app import clock
from analytics_app.backfills import store as backfills
from analytics_app.backfills.schemas import BackfillOut
from analytics_app.db import snapshot, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Conflict, NotFound
from analytics_app.goals import store
from analytics_app.goals.figures import figures, money
from analytics_app.goals.schemas import (
    CSV_COLUMNS,
    MOST_GOALS,
    ConversionOut,
    ConversionsQuery,
    GoalBody,
    GoalOut,
    GoalPatch,
    GoalStatsOut,
    GoalStatsQuery,
)
from analytics_app.shapes import PageQuery, encode_cursor, id_after
from analytics_app.stats.conversions_store import Of, Place, conversions_of, tally
from analytics_app.stats.schemas import CSV_LINES
from analytics_app.stats.selection_store import selection_of
from web.resource import One, Page, Resource, operation, validated
from web.stats import JSON_OR_CSV, csv_answer, filename, read_cursor, wants_csv

KIND = "goals"
blueprint = faust.web.Blueprint("goals")


class GoalResource(Resource):
    """A view of one goal or several."""

    tag = "Goals"

    async def goal(self, db: Any, website_id: int, goal_id: str, *, lock: bool = False) -> Any:
        """The website's goal of that id. Raises `NotFound`."""
        row = await store.goal_of(db, website_id, self.id(goal_id), lock=lock)
        if row is None:
            raise NotFound
        return row


@blueprint.route("/websites/{website_id}/goals", name="list")
class Goals(GoalResource):
    """The goals of a website."""

    @operation(query=PageQuery, answer=Page(GoalOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """List goals."""
        website, query = await self.website(request, website_id), self.query(request, PageQuery)
        async with transaction() as db:
            rows = await store.goals_of(db, website.id, after=id_after(query.cursor), limit=query.limit + 1)
        page = [GoalOut.model_validate(row) for row in rows[: query.limit]]
        return self.page(page, encode_cursor(page[-1].id) if len(rows) > query.limit else None)

    @operation(body=GoalBody, answer=One(GoalOut), status=201, errors=(Conflict,))
    async def post(self, request: Request, website_id: str) -> Response:
        """Create a goal. It counts from now on, and is computed over what is stored: see its `backfill`."""
        website = await self.website(request, website_id)
        body = await self.body(request, GoalBody)
        async with transaction() as db:
            if await store.number_of_goals(db, website.id) >= MOST_GOALS:
                raise Conflict(f"A website has {MOST_GOALS} goals at most")
            row = await store.add_goal(db, website.id, body.model_dump())
            await backfills.request(db, KIND, website.id, row.id)
        await DEFINITIONS.renew_one(KIND, website.id)
        return self.one(GoalOut.model_validate(row), status=201)


@blueprint.route("/websites/{website_id}/goals/{goal_id}", name="one")
class OneGoal(GoalResource):
    """One goal."""

    @operation(answer=One(GoalOut))
    async def get(self, request: Request, website_id: str, goal_id: str) -> Response:
        """Get a goal."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            return self.one(GoalOut.model_validate(await self.goal(db, website.id, goal_id)))

    @operation(body=GoalBody, answer=One(GoalOut))
    async def put(self, request: Request, website_id: str, goal_id: str) -> Response:
        """Update a goal: all fields. What is left out goes back to its default."""
        website = await self.website(request, website_id)
        body = await self.body(request, GoalBody)
        return await self.change(website.id, goal_id, lambda _: body)

    @operation(body=GoalPatch, answer=One(GoalOut))
    async def patch(self, request: Request, website_id: str, goal_id: str) -> Response:
        """Update a goal: the fields given. Where it then finds others, its conversions are computed anew."""
        website = await self.website(request, website_id)
        changes = (await self.body(request, GoalPatch)).changes()
        return await self.change(website.id, goal_id, lambda row: validated(GoalBody, _fields(row) | changes))

    @operation(status=204)
    async def delete(self, request: Request, website_id: str, goal_id: str) -> Response:
        """Delete a goal, and its conversions."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            row = await self.goal(db, website.id, goal_id, lock=True)
            await store.delete_goal(db, row.id)
            await backfills.request(db, KIND, website.id, row.id)
        await DEFINITIONS.renew_one(KIND, website.id)
        return self.no_content()

    async def change(self, website_id: int, goal_id: str, changed: Any) -> Response:
        """Make the goal what `changed` makes of its row; computed anew where other sessions may convert by it."""
        async with transaction() as db:
            before = await self.goal(db, website_id, goal_id, lock=True)
            row = await store.change_goal(db, before, changed(before).model_dump())
            if row.revision != before.revision or (row.is_enabled and not before.is_enabled):
                await backfills.request(db, KIND, website_id, row.id)
        await DEFINITIONS.renew_one(KIND, website_id)
        return self.one(GoalOut.model_validate(row))


def _fields(row: Any) -> dict[str, Any]:
    """A goal's row as the body that would make it."""
    return {
        "name": row.name,
        "type": row.type,
        "match_type": row.match_type,
        "match_value": row.match_value,
        "count": row.count,
        "value": None if row.value is None else float(row.value),
        "currency": row.currency,
        "is_enabled": row.is_enabled,
    }


@blueprint.route("/websites/{website_id}/goals/{goal_id}/backfill", name="backfill")
class GoalBackfill(GoalResource):
    """How far a goal's computation over the stored history is."""

    @operation(answer=One(BackfillOut))
    async def get(self, request: Request, website_id: str, goal_id: str) -> Response:
        """Get how far the computation over the stored history is. Until it is done, the goal's numbers still grow."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            return self.one(await self.standing(db, (await self.goal(db, website.id, goal_id)).id))

    @operation(answer=One(BackfillOut), status=202)
    async def post(self, request: Request, website_id: str, goal_id: str) -> Response:
        """Compute the goal over the stored history again."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            row = await self.goal(db, website.id, goal_id, lock=True)
            await backfills.request(db, KIND, website.id, row.id)
            return self.one(await self.standing(db, row.id), status=202)

    async def standing(self, db: Any, goal_id: int) -> BackfillOut:
        """The goal's latest backfill. Raises `NotFound` where it was never asked for."""
        found = await backfills.backfill_of(db, KIND, goal_id)
        if found is None:
            raise NotFound
        return BackfillOut.of(found)


@blueprint.route("/websites/{website_id}/goals/{goal_id}/conversions", name="conversions")
class Conversions(GoalResource):
    """The conversions of a goal."""

    @operation(query=ConversionsQuery, answer=Page(ConversionOut), content_types=JSON_OR_CSV)
    async def get(self, request: Request, website_id: str, goal_id: str) -> Response:
        """List the conversions of a period, the latest first."""
        website, query = await self.website(request, website_id), self.query(request, ConversionsQuery)
        question, as_csv = query.question(clock.now()), wants_csv(request, query.format)
        limit = CSV_LINES if as_csv and "limit" not in query.model_fields_set else query.limit
        async with snapshot() as db:
            goal = await self.goal(db, website.id, goal_id)
            rows, place = await conversions_of(
                db,
                _of(goal),
                question.period.start,
                question.period.end,
                await selection_of(db, website.id, question.filters, question.spans),
                limit=limit,
                after=read_cursor(query.cursor, _read_place),
            )
        found = [ConversionOut(**_valued(row, goal)) for row in rows]
        if as_csv:
            lines = [CSV_COLUMNS, *([getattr(one, name) for name in CSV_COLUMNS] for one in found)]
            return csv_answer(lines, filename(f"conversions-{goal.id}", website.id, question))
        return self.page(found, encode_cursor([place.at.isoformat(), place.session_id, place.key]) if place else None)


@blueprint.route("/websites/{website_id}/goals/{goal_id}/conversions/stats", name="stats")
class GoalStats(GoalResource):
    """The numbers of a goal."""

    @operation(query=GoalStatsQuery, answer=GoalStatsOut, content_types=JSON_OR_CSV)
    async def get(self, request: Request, website_id: str, goal_id: str) -> Response:
        """Conversions, rate and value of a period, compared with another if asked for."""
        website, query = await self.website(request, website_id), self.query(request, GoalStatsQuery)
        question = query.question(clock.now())
        answers = []
        async with snapshot() as db:
            goal = await self.goal(db, website.id, goal_id)
            selection = await selection_of(db, website.id, question.filters, question.spans)
            for period in filter(None, (question.period, question.previous)):
                found = await tally(db, _of(goal), period.start, period.end, selection)
                answers.append(figures(found, goal.value, goal.currency, period))
        if wants_csv(request, query.format):
            rows = [{**answer.pop("period"), **answer, "values": None} for answer in answers]
            shown = [name for name in rows[0] if name != "values"]
            lines = [shown, *([row[name] for name in shown] for row in rows)]
            return csv_answer(lines, filename(f"goal-{goal.id}", website.id, question))
        told = GoalStatsOut(**answers[0], previous=answers[1] if len(answers) > 1 else None).model_dump(mode="json")
        return self.json(told if question.previous else {k: v for k, v in told.items() if k != "previous"})


def _of(goal: Any) -> Of:
    return Of(goal.website_id, goal.id, goal.revision, goal.type != "duration")


def _valued(row: dict[str, Any], goal: Any) -> dict[str, Any]:
    """A conversion with what it is worth by its goal."""
    value: Decimal | None = row["value"] if goal.value is None else goal.value
    currency = row["currency"] if goal.value is None else goal.currency
    return row | {"value": None if value is None else money(value), "currency": currency}


def _read_place(said: Any) -> Place:
    match said:
        case [str() as at, int() as session_id, int() as key] if max(session_id, key) < 2**53:
            moment = datetime.fromisoformat(at)
            if moment.tzinfo is not None:
                return Place(moment, session_id, key)
    raise ValueError("must be the next_cursor of an earlier page of this list")
