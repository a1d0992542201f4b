"""Experiments: `/analytics/websites/{id}/experiments`."""

from collections.abc import Mapping
from typing import Any

import faust
from aiohttp.web import Request, Response
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import clock
from analytics_app.db import transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Conflict, NotFound
from analytics_app.experiments import logic, store
from analytics_app.experiments.logic import Status, Variant
from analytics_app.experiments.schemas import (
    ExperimentBody,
    ExperimentOut,
    ExperimentPatch,
    ExperimentsQuery,
    VariantBody,
    VariantOut,
    VariantPatch,
)
from analytics_app.shapes import PageQuery, encode_cursor, id_after
from web.resource import One, Page, Resource, operation

blueprint = faust.web.Blueprint("experiments")

TAG = "A/B Experiments"
KIND = "experiments"


@blueprint.route("/websites/{website_id}/experiments", name="list")
class Experiments(Resource):
    """The experiments of a website."""

    tag = TAG

    @operation(query=ExperimentsQuery, answer=Page(ExperimentOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """List experiments, with their variants."""
        website, query = await self.website(request, website_id), self.query(request, ExperimentsQuery)
        async with transaction() as db:
            rows = await store.experiments_of(
                db, website.id, after=id_after(query.cursor), limit=query.limit + 1, status=query.status
            )
            variants = await store.variants_of(db, [row.id for row in rows])
        page = [shown(row, variants[row.id]) for row in rows[: query.limit]]
        return self.page(page, encode_cursor(page[-1].id) if len(rows) > query.limit else None)

    @operation(body=ExperimentBody, answer=One(ExperimentOut), status=201)
    async def post(self, request: Request, website_id: str) -> Response:
        """Create an experiment: a draft, to which variants are added before it is started."""
        website, body = await self.website(request, website_id), await self.body(request, ExperimentBody)
        async with transaction() as db:
            experiment_id = await store.add_experiment(db, website.id, values_of(body.model_dump(), body.goal_type))
        return await answer(self, website.id, experiment_id, status=201)


@blueprint.route("/websites/{website_id}/experiments/{experiment_id}", name="one")
class OneExperiment(Resource):
    """One experiment."""

    tag = TAG

    @operation(answer=One(ExperimentOut))
    async def get(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """Get an experiment, with its variants."""
        website = await self.website(request, website_id)
        return await answer(self, website.id, self.id(experiment_id), renew=False)

    @operation(body=ExperimentBody, answer=One(ExperimentOut), errors=(Conflict,))
    async def put(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """Update an experiment: all fields. Once it was started its goal stays, and its traffic can only grow."""
        website, wanted = await self.website(request, website_id), self.id(experiment_id)
        return await self.change(website.id, wanted, (await self.body(request, ExperimentBody)).model_dump())

    @operation(body=ExperimentPatch, answer=One(ExperimentOut), errors=(Conflict,))
    async def patch(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """Update an experiment: the fields given. Once it was started its goal stays, and its traffic can only grow."""
        website, wanted = await self.website(request, website_id), self.id(experiment_id)
        return await self.change(website.id, wanted, (await self.body(request, ExperimentPatch)).changes())

    @operation(status=204)
    async def delete(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """Delete an experiment, in whatever state, with its variants and all that was counted for it."""
        website, wanted = await self.website(request, website_id), self.id(experiment_id)
        async with transaction() as db:
            if not await store.delete_experiment(db, website.id, wanted):
                raise NotFound
        await DEFINITIONS.renew_one(KIND, website.id)
        return self.no_content()

    async def change(self, website_id: int, experiment_id: int, values: dict[str, Any]) -> Response:
        """Write `values` where that is allowed, and answer with the experiment as it is then."""
        async with transaction() as db:
            row = await locked(db, website_id, experiment_id)
            values = values_of(values, values.get("goal_type", row.goal_type), row.goal_value)
            logic.check_change(Status(row.status), row._mapping, values)  # noqa: SLF001 - SQLAlchemy's name for it
            await store.change_experiment(db, experiment_id, values)
        return await answer(self, website_id, experiment_id)


class Move(Resource):
    """What the three moves of an experiment share."""

    tag = TAG
    move = ""

    async def make(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """Make the move and answer with the experiment as it is then. Raises `Conflict` where it is a wrong one."""
        website, wanted = await self.website(request, website_id), self.id(experiment_id)
        async with transaction() as db:
            row = await locked(db, website.id, wanted)
            status = logic.moved(Status(row.status), self.move)
            if status is Status.RUNNING:
                logic.check_startable(variants_of((await store.variants_of(db, [wanted]))[wanted]))
            await store.move_experiment(db, wanted, status, clock.now())
        return await answer(self, website.id, wanted)


@blueprint.route("/websites/{website_id}/experiments/{experiment_id}/start", name="start")
class StartExperiment(Move):
    """Let visitors in."""

    move = "start"

    @operation(answer=One(ExperimentOut), errors=(Conflict,))
    async def post(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """Start an experiment, or go on with a paused one. From the first start its variants and goal stay."""
        return await self.make(request, website_id, experiment_id)


@blueprint.route("/websites/{website_id}/experiments/{experiment_id}/pause", name="pause")
class PauseExperiment(Move):
    """Let nobody in for a while."""

    move = "pause"

    @operation(answer=One(ExperimentOut), errors=(Conflict,))
    async def post(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """Pause a running experiment: everybody sees the control. Who was in it can still convert."""
        return await self.make(request, website_id, experiment_id)


@blueprint.route("/websites/{website_id}/experiments/{experiment_id}/stop", name="stop")
class StopExperiment(Move):
    """End it."""

    move = "stop"

    @operation(answer=One(ExperimentOut), errors=(Conflict,))
    async def post(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """Stop a running or paused experiment for good: its results stay as they are now."""
        return await self.make(request, website_id, experiment_id)


@blueprint.route("/websites/{website_id}/experiments/{experiment_id}/variants", name="variants")
class Variants(Resource):
    """The variants of an experiment."""

    tag = TAG

    @operation(query=PageQuery, answer=Page(VariantOut))
    async def get(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """List the variants of an experiment."""
        website, query = await self.website(request, website_id), self.query(request, PageQuery)
        wanted = self.id(experiment_id)
        async with transaction() as db:
            if await store.experiment_of(db, website.id, wanted) is None:
                raise NotFound
            rows = await store.variant_page(db, wanted, after=id_after(query.cursor), limit=query.limit + 1)
        page = [VariantOut.model_validate(variant_fields(row)) for row in rows[: query.limit]]
        return self.page(page, encode_cursor(page[-1].id) if len(rows) > query.limit else None)

    @operation(body=VariantBody, answer=One(VariantOut), status=201, errors=(Conflict,))
    async def post(self, request: Request, website_id: str, experiment_id: str) -> Response:
        """Add a variant to an experiment that has not been started."""
        website, wanted = await self.website(request, website_id), self.id(experiment_id)
        body = await self.body(request, VariantBody)
        async with transaction() as db:
            row = await locked(db, website.id, wanted)
            logic.check_frozen(Status(row.status), "its variants")
            if len((await store.variants_of(db, [wanted]))[wanted]) >= logic.MOST_VARIANTS:
                raise Conflict(f"An experiment has at most {logic.MOST_VARIANTS} variants")
            variant = await store.add_variant(db, website.id, wanted, body.model_dump())
        await DEFINITIONS.renew_one(KIND, website.id)
        return self.one(VariantOut.model_validate(variant_fields(variant)), status=201)


@blueprint.route("/websites/{website_id}/experiments/{experiment_id}/variants/{variant_id}", name="variant")
class OneVariant(Resource):
    """One variant."""

    tag = TAG

    @operation(answer=One(VariantOut))
    async def get(self, request: Request, website_id: str, experiment_id: str, variant_id: str) -> Response:
        """Get a variant."""
        website, wanted, variant = await self.website(request, website_id), self.id(experiment_id), self.id(variant_id)
        async with transaction() as db:
            if await store.experiment_of(db, website.id, wanted) is None:
                raise NotFound
            found = [row for row in (await store.variants_of(db, [wanted]))[wanted] if row.id == variant]
        if not found:
            raise NotFound
        return self.one(VariantOut.model_validate(variant_fields(found[0])))

    @operation(body=VariantBody, answer=One(VariantOut), errors=(Conflict,))
    async def put(self, request: Request, website_id: str, experiment_id: str, variant_id: str) -> Response:
        """Update a variant of an experiment that has not been started: all fields."""
        website, wanted, variant = await self.website(request, website_id), self.id(experiment_id), self.id(variant_id)
        body = await self.body(request, VariantBody)
        return await self.change(website.id, wanted, variant, body.model_dump())

    @operation(body=VariantPatch, answer=One(VariantOut), errors=(Conflict,))
    async def patch(self, request: Request, website_id: str, experiment_id: str, variant_id: str) -> Response:
        """Update a variant of an experiment that has not been started: the fields given."""
        website, wanted, variant = await self.website(request, website_id), self.id(experiment_id), self.id(variant_id)
        body = await self.body(request, VariantPatch)
        return await self.change(website.id, wanted, variant, body.changes())

    @operation(status=204, errors=(Conflict,))
    async def delete(self, request: Request, website_id: str, experiment_id: str, variant_id: str) -> Response:
        """Delete a variant of an experiment that has not been started."""
        website, wanted, variant = await self.website(request, website_id), self.id(experiment_id), self.id(variant_id)
        async with transaction() as db:
            row = await locked(db, website.id, wanted)
            if all(one.id != variant for one in (await store.variants_of(db, [wanted]))[wanted]):
                raise NotFound
            logic.check_frozen(Status(row.status), "its variants")
            await store.delete_variant(db, wanted, variant)
        await DEFINITIONS.renew_one(KIND, website.id)
        return self.no_content()

    async def change(self, website_id: int, experiment_id: int, variant_id: int, values: Mapping[str, Any]) -> Response:
        """Write `values` where that is allowed, and answer with the variant as it is then."""
        async with transaction() as db:
            row = await locked(db, website_id, experiment_id)
            variant = await store.change_variant(db, experiment_id, variant_id, values)
            if variant is None:
                raise NotFound
            logic.check_frozen(Status(row.status), "its variants")  # undoes the change
        await DEFINITIONS.renew_one(KIND, website_id)
        return self.one(VariantOut.model_validate(variant_fields(variant)))


async def locked(db: AsyncConnection, website_id: int, experiment_id: int) -> Row[Any]:
    """The website's experiment, that nobody else changes meanwhile. Raises `NotFound`."""
    row = await store.experiment_of(db, website_id, experiment_id, lock=True)
    if row is None:
        raise NotFound
    return row


def values_of(values: dict[str, Any], goal_type: str, goal_value: str = "") -> dict[str, Any]:
    """The fields as they are stored: the goal's value as pages or events are, whichever of the two was given."""
    if not {"goal_type", "goal_value"} & set(values):
        return values
    return {**values, "goal_value": logic.goal_text(goal_type, values.get("goal_value", goal_value))}


def variants_of(rows: list[Row[Any]]) -> list[Variant]:
    """Variants as the logic takes them."""
    return [Variant(row.id, row.name, row.is_control, row.weight, row.config) for row in rows]


def variant_fields(row: Row[Any]) -> dict[str, Any]:
    """A variant's fields as they are shown."""
    return {name: getattr(row, name) for name in VariantOut.model_fields}


def shown(row: Row[Any], variants: list[Row[Any]]) -> ExperimentOut:
    """An experiment as it is shown."""
    fields = {name: getattr(row, name) for name in ExperimentOut.model_fields if name != "variants"}
    return ExperimentOut.model_validate({**fields, "variants": [variant_fields(one) for one in variants]})


async def answer(
    view: Resource, website_id: int, experiment_id: int, *, status: int = 200, renew: bool = True
) -> Response:
    """The experiment as it stands in Postgres; `renew` makes this process' copy follow first. Raises `NotFound`."""
    async with transaction() as db:
        row = await store.experiment_of(db, website_id, experiment_id)
        if row is None:
            raise NotFound
        variants = (await store.variants_of(db, [experiment_id]))[experiment_id]
    if renew:
        await DEFINITIONS.renew_one(KIND, website_id)
    return view.one(shown(row, variants), status=status)
