"""Funnels and their steps: `/analytics/websites/{id}/funnels`."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp.web import Request, Response
from faust.web import Blueprint
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.backfills import store as backfills
from analytics_app.backfills.schemas import BackfillOut
from analytics_app.db import transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Conflict, FaultyField, Invalid, NotFound
from analytics_app.funnels import store
from analytics_app.funnels.logic import MOST_STEPS
from analytics_app.funnels.schemas import (
    FIRST_OPTIONAL,
    FunnelBody,
    FunnelOut,
    FunnelPatch,
    ListedStep,
    StepBody,
    StepOut,
    StepPatch,
    StepsBody,
)
from analytics_app.shapes import PageQuery, encode_cursor, id_after
from web.resource import One, Page, Resource, operation

blueprint = Blueprint("funnels")

MOST_FUNNELS = 100
"""Of a website. Each costs a little with every hit."""


class FunnelResource(Resource):
    """What the views of funnels share."""

    tag = "Funnels"

    async def funnel(
        self, db: AsyncConnection, website_id: int, funnel_id: str, *, to_change: bool = False
    ) -> tuple[Row[Any], list[Row[Any]]]:
        """The website's funnel of that id, and its steps. Raises `NotFound`."""
        found = await store.funnel_of(db, website_id, self.id(funnel_id), to_change=to_change)
        if found is None:
            raise NotFound
        return found, (await store.steps_of(db, [found.id]))[found.id]

    async def put_steps(
        self, db: AsyncConnection, funnel: Row[Any], before: Sequence[Row[Any]], steps: Sequence[Mapping[str, Any]]
    ) -> None:
        """Make `steps` the funnel's. Raises `Conflict` where there are too many, `Invalid` where they cannot be."""
        if len(steps) > MOST_STEPS:
            raise Conflict(f"A funnel has {MOST_STEPS} steps at most")
        if steps and steps[0]["is_optional"]:
            raise Conflict(FIRST_OPTIONAL[:1].upper() + FIRST_OPTIONAL[1:])
        known = {step.id for step in before}
        unknown = [place for place, step in enumerate(steps) if step.get("id") not in (None, *known)]
        if unknown:
            raise Invalid(details=[FaultyField(f"steps.{place}.id", "is no step of this funnel") for place in unknown])
        await store.put_steps(db, funnel.id, steps)

    async def settle(self, db: AsyncConnection, website_id: int, funnel_id: int, revision: int) -> FunnelOut:
        """The funnel as it is now; where its meaning is another than at `revision`, what is stored is gone through."""
        row = await store.funnel_of(db, website_id, funnel_id)
        assert row is not None
        if row.revision != revision:
            await backfills.request(db, "funnels", website_id, funnel_id)
        return shown(row, (await store.steps_of(db, [funnel_id]))[funnel_id])


def shown(row: Row[Any], steps: Sequence[Row[Any]]) -> FunnelOut:
    """A funnel as the API shows it."""
    return FunnelOut(
        id=row.id,
        website_id=row.website_id,
        name=row.name,
        is_strict=row.is_strict,
        window_hours=row.window_hours,
        steps=[StepOut.model_validate(step) for step in steps],
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def values_of(step: Row[Any]) -> dict[str, Any]:
    """A step that there is, as one of a whole list."""
    return {name: getattr(step, name) for name in ("id", "name", "match_type", "match_value", "is_optional")}


@blueprint.route("/websites/{website_id}/funnels", name="list")
class Funnels(FunnelResource):
    """The funnels of a website."""

    @operation(query=PageQuery, answer=Page(FunnelOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """List funnels, with their steps."""
        website, query = await self.website(request, website_id), self.query(request, PageQuery)
        async with transaction() as db:
            rows = await store.funnels_of(db, website.id, after=id_after(query.cursor), limit=query.limit + 1)
            page = rows[: query.limit]
            steps = await store.steps_of(db, [row.id for row in page])
        cursor = encode_cursor(page[-1].id) if len(rows) > query.limit else None
        return self.page([shown(row, steps[row.id]) for row in page], cursor)

    @operation(body=FunnelBody, answer=One(FunnelOut), status=201, errors=(Conflict,))
    async def post(self, request: Request, website_id: str) -> Response:
        """Create a funnel, with its steps or without. What is stored already is gone through in the background."""
        website, body = await self.website(request, website_id), await self.body(request, FunnelBody)
        async with transaction() as db:
            if await store.number_of_funnels(db, website.id) >= MOST_FUNNELS:
                raise Conflict(f"A website has {MOST_FUNNELS} funnels at most")
            funnel_id = await store.add_funnel(db, website.id, body.settings())
            row = await store.funnel_of(db, website.id, funnel_id, to_change=True)
            assert row is not None
            await self.put_steps(db, row, [], [step.model_dump() for step in body.steps or []])
            made = await self.settle(db, website.id, funnel_id, 0)
        await DEFINITIONS.renew_one("funnels", website.id)
        return self.one(made, status=201)


@blueprint.route("/websites/{website_id}/funnels/{funnel_id}", name="one")
class OneFunnel(FunnelResource):
    """One funnel."""

    @operation(answer=One(FunnelOut))
    async def get(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """Get a funnel, with its steps."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            return self.one(shown(*await self.funnel(db, website.id, funnel_id)))

    @operation(body=FunnelBody, answer=One(FunnelOut), errors=(Conflict,))
    async def put(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """Update a funnel: all fields. What is left out goes back to its default; the steps stay."""
        website, body = await self.website(request, website_id), await self.body(request, FunnelBody)
        return await self.change(website.id, funnel_id, body.settings(), body.steps)

    @operation(body=FunnelPatch, answer=One(FunnelOut), errors=(Conflict,))
    async def patch(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """Update a funnel: the fields given."""
        website, body = await self.website(request, website_id), await self.body(request, FunnelPatch)
        return await self.change(website.id, funnel_id, body.settings(), body.steps)

    @operation(status=204)
    async def delete(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """Delete a funnel. It is gone at once; what it had counted is removed in the background."""
        website, wanted = await self.website(request, website_id), self.id(funnel_id)
        async with transaction() as db:
            if not await store.delete_funnel(db, website.id, wanted):
                raise NotFound
            await backfills.request(db, "funnels", website.id, wanted)
        await DEFINITIONS.renew_one("funnels", website.id)
        return self.no_content()

    async def change(
        self, website_id: int, funnel_id: str, values: dict[str, object], steps: list[ListedStep] | None
    ) -> Response:
        """Write `values` and `steps`, and answer with the funnel as it is then."""
        async with transaction() as db:
            row, before = await self.funnel(db, website_id, funnel_id, to_change=True)
            await store.change_funnel(db, row.id, values)
            if steps is not None:
                await self.put_steps(db, row, before, [step.model_dump() for step in steps])
            changed = await self.settle(db, website_id, row.id, row.revision)
        await DEFINITIONS.renew_one("funnels", website_id)
        return self.one(changed)


@blueprint.route("/websites/{website_id}/funnels/{funnel_id}/steps", name="steps")
class FunnelSteps(FunnelResource):
    """The steps of a funnel."""

    @operation(answer=Page(StepOut))
    async def get(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """List the steps in order; there is one page of them."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            _, steps = await self.funnel(db, website.id, funnel_id)
        return self.page([StepOut.model_validate(step) for step in steps])

    @operation(body=StepBody, answer=One(StepOut), status=201, errors=(Conflict,))
    async def post(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """Add a step, at the end or at a position."""
        website, body = await self.website(request, website_id), await self.body(request, StepBody)
        async with transaction() as db:
            row, before = await self.funnel(db, website.id, funnel_id, to_change=True)
            steps = [values_of(step) for step in before]
            place = min((body.position or MOST_STEPS) - 1, len(steps))
            steps.insert(place, body.model_dump(exclude={"position"}) | {"id": None})
            await self.put_steps(db, row, before, steps)
            changed = await self.settle(db, website.id, row.id, row.revision)
        await DEFINITIONS.renew_one("funnels", website.id)
        return self.one(changed.steps[place], status=201)

    @operation(body=StepsBody, answer=Page(StepOut), errors=(Conflict,))
    async def put(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """Put the whole list, in order: those that name their `id` stay, others are new, what is not named goes."""
        website, body = await self.website(request, website_id), await self.body(request, StepsBody)
        async with transaction() as db:
            row, before = await self.funnel(db, website.id, funnel_id, to_change=True)
            await self.put_steps(db, row, before, [step.model_dump() for step in body.steps])
            changed = await self.settle(db, website.id, row.id, row.revision)
        await DEFINITIONS.renew_one("funnels", website.id)
        return self.page(changed.steps)


@blueprint.route("/websites/{website_id}/funnels/{funnel_id}/steps/{step_id}", name="step")
class OneStep(FunnelResource):
    """One step of a funnel."""

    @operation(answer=One(StepOut))
    async def get(self, request: Request, website_id: str, funnel_id: str, step_id: str) -> Response:
        """Get a step."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            _, steps = await self.funnel(db, website.id, funnel_id)
        return self.one(StepOut.model_validate(steps[self.place(steps, step_id)]))

    @operation(body=StepBody, answer=One(StepOut), errors=(Conflict,))
    async def put(self, request: Request, website_id: str, funnel_id: str, step_id: str) -> Response:
        """Update a step: all fields. Without `position` it stays where it is."""
        website, body = await self.website(request, website_id), await self.body(request, StepBody)
        return await self.change(website.id, funnel_id, step_id, body.model_dump())

    @operation(body=StepPatch, answer=One(StepOut), errors=(Conflict,))
    async def patch(self, request: Request, website_id: str, funnel_id: str, step_id: str) -> Response:
        """Update a step: the fields given; another `position` moves it there."""
        website, body = await self.website(request, website_id), await self.body(request, StepPatch)
        return await self.change(website.id, funnel_id, step_id, body.changes())

    @operation(status=204, errors=(Conflict,))
    async def delete(self, request: Request, website_id: str, funnel_id: str, step_id: str) -> Response:
        """Delete a step; those after it move up."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            row, before = await self.funnel(db, website.id, funnel_id, to_change=True)
            place = self.place(before, step_id)
            steps = [values_of(step) for step in before]
            await self.put_steps(db, row, before, steps[:place] + steps[place + 1 :])
            await self.settle(db, website.id, row.id, row.revision)
        await DEFINITIONS.renew_one("funnels", website.id)
        return self.no_content()

    async def change(self, website_id: int, funnel_id: str, step_id: str, values: dict[str, Any]) -> Response:
        """Write `values`, and answer with the step as it is then."""
        async with transaction() as db:
            row, before = await self.funnel(db, website_id, funnel_id, to_change=True)
            place = self.place(before, step_id)
            steps = [values_of(step) for step in before]
            position = values.pop("position", None)
            step = steps.pop(place) | values
            steps.insert(place if position is None else min(position - 1, len(steps)), step)
            await self.put_steps(db, row, before, steps)
            changed = await self.settle(db, website_id, row.id, row.revision)
        await DEFINITIONS.renew_one("funnels", website_id)
        return self.one(next(one for one in changed.steps if one.id == step["id"]))

    def place(self, steps: Sequence[Row[Any]], step_id: str) -> int:
        """The place of the step of that id. Raises `NotFound` where the funnel has none."""
        wanted = self.id(step_id)
        for place, step in enumerate(steps):
            if step.id == wanted:
                return place
        raise NotFound


@blueprint.route("/websites/{website_id}/funnels/{funnel_id}/backfill", name="backfill")
class FunnelBackfill(FunnelResource):
    """How far the stored history has been gone through."""

    @operation(answer=One(BackfillOut))
    async def get(self, request: Request, website_id: str, funnel_id: str) -> Response:
        """How far the stored history has been gone through since the funnel last changed; numbers grow until then."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            funnel, _ = await self.funnel(db, website.id, funnel_id)
            found = await backfills.backfill_of(db, "funnels", funnel.id)
        if found is None:
            raise NotFound
        return self.one(BackfillOut.of(found))
