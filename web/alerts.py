"""Alerts: `/analytics/websites/{id}/alerts`."""

from collections.abc import Mapping, Sequence
from typing import Any

import faust
from aiohttp.web import Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import clock
from analytics_app.alerts import store
from analytics_app.alerts.schemas import AlertBody, AlertOut, AlertPatch, FiringOut
from analytics_app.db import transaction
from analytics_app.deliveries import store as deliveries
from analytics_app.deliveries.schemas import DeliveryOut
from analytics_app.deliveries.webhook import signing_secret
from analytics_app.errors import FaultyField, Invalid, NotFound
from analytics_app.goals import store as goals
from analytics_app.jobs.alerts import targets_of, verdict_of
from analytics_app.secret import secret
from analytics_app.settings import settings
from analytics_app.shapes import PageQuery, encode_cursor, id_after
from web.resource import One, Page, Resource, operation

blueprint = faust.web.Blueprint("alerts")

SHOWN = frozenset(AlertOut.model_fields) - {"webhook_secret"}


class Alerts(Resource):
    """What the views of alerts share."""

    tag = "Alerts"

    def shown(self, request: Request, row: Any) -> AlertOut:
        """An alert as it is answered."""
        tells = row.webhook_url is not None and self.caller(request).has("write")
        key = signing_secret(secret(settings()), row.id) if tells else None
        return AlertOut(**{name: getattr(row, name) for name in SHOWN}, webhook_secret=key)

    async def alert(self, website_id: int, alert_id: str) -> Any:
        """The website's alert. Raises `NotFound`."""
        async with transaction() as db:
            row = await store.alert_of(db, website_id, self.id(alert_id))
        if row is None:
            raise NotFound
        return row


def checked(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """An alert's values, if they make sense together. Raises `Invalid`."""
    if values["type"] == "traffic_drop" and values["threshold_percent"] > 100:
        raise Invalid(details=[FaultyField("threshold_percent", "must be at most 100 for traffic_drop")])
    return values


async def check_goal(db: AsyncConnection, website_id: int, values: Mapping[str, Any]) -> None:
    """Raises `Invalid` where `values` name a goal that the website does not have."""
    goal_id = values.get("goal_id")
    if goal_id is not None and await goals.goal_of(db, website_id, goal_id) is None:
        raise Invalid(details=[FaultyField("goal_id", "must be a goal of the website")])


@blueprint.route("/websites/{website_id}/alerts", name="list")
class AlertList(Alerts):
    """The alerts of a website."""

    @operation(query=PageQuery, answer=Page(AlertOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """List the alerts of a website."""
        website, query = await self.website(request, website_id), self.query(request, PageQuery)
        async with transaction() as db:
            rows = await store.alerts_of(db, website.id, after=id_after(query.cursor), limit=query.limit + 1)
        page = [self.shown(request, row) for row in rows[: query.limit]]
        return self.page(page, encode_cursor(page[-1].id) if len(rows) > query.limit else None)

    @operation(body=AlertBody, answer=One(AlertOut), status=201)
    async def post(self, request: Request, website_id: str) -> Response:
        """Create an alert. Once a minute it compares what is with what is usual at this time of the week."""
        website, body = await self.website(request, website_id), await self.body(request, AlertBody)
        values = checked(body.model_dump())
        async with transaction() as db:
            await check_goal(db, website.id, values)
            row = await store.add_alert(db, website.id, values)
        return self.one(self.shown(request, row), status=201)


@blueprint.route("/websites/{website_id}/alerts/{alert_id}", name="one")
class OneAlert(Alerts):
    """One alert."""

    @operation(answer=One(AlertOut))
    async def get(self, request: Request, website_id: str, alert_id: str) -> Response:
        """Get an alert."""
        website = await self.website(request, website_id)
        return self.one(self.shown(request, await self.alert(website.id, alert_id)))

    @operation(body=AlertBody, answer=One(AlertOut))
    async def put(self, request: Request, website_id: str, alert_id: str) -> Response:
        """Update an alert: all fields. What is left out goes back to its default."""
        website, wanted = await self.website(request, website_id), self.id(alert_id)
        body = await self.body(request, AlertBody)
        return await self.change(request, website.id, wanted, body.model_dump())

    @operation(body=AlertPatch, answer=One(AlertOut))
    async def patch(self, request: Request, website_id: str, alert_id: str) -> Response:
        """Update an alert: the fields given."""
        website, wanted = await self.website(request, website_id), self.id(alert_id)
        body = await self.body(request, AlertPatch)
        return await self.change(request, website.id, wanted, body.changes())

    @operation(status=204)
    async def delete(self, request: Request, website_id: str, alert_id: str) -> Response:
        """Delete an alert, with the history of its firings."""
        website, wanted = await self.website(request, website_id), self.id(alert_id)
        async with transaction() as db:
            if not await store.delete_alert(db, website.id, wanted):
                raise NotFound
        return self.no_content()

    async def change(self, request: Request, website_id: int, alert_id: int, values: Mapping[str, Any]) -> Response:
        """Write `values` and answer with the alert as it is then."""
        async with transaction() as db:
            before = await store.alert_of(db, website_id, alert_id)
            if before is None:
                raise NotFound
            checked({"type": before.type, "threshold_percent": before.threshold_percent, **values})
            await check_goal(db, website_id, values)
            row = await store.change_alert(db, website_id, alert_id, values)
        if row is None:
            raise NotFound
        return self.one(self.shown(request, row))


@blueprint.route("/websites/{website_id}/alerts/{alert_id}/test", name="test")
class AlertTest(Alerts):
    """An alert, tried out."""

    @operation(answer=One(FiringOut), status=202)
    async def post(self, request: Request, website_id: str, alert_id: str) -> Response:
        """Tell the alert's recipients what it finds now, out of the ordinary or not, marked as a test."""
        website = await self.website(request, website_id)
        alert, now = await self.alert(website.id, alert_id), clock.now()
        verdict = await verdict_of(alert, now)
        async with transaction() as db:
            firing_id = await store.add_firing(db, alert.id, now, verdict.value, verdict.usual, is_test=True)
            await deliveries.add(db, targets_of(alert), firing_id=firing_id)
            (told,) = await shown_firings(db, await store.firings_of(db, alert.id, before=firing_id + 1, limit=1))
        return self.one(told, status=202)


@blueprint.route("/websites/{website_id}/alerts/{alert_id}/firings", name="firings")
class Firings(Alerts):
    """When an alert fired."""

    @operation(query=PageQuery, answer=Page(FiringOut))
    async def get(self, request: Request, website_id: str, alert_id: str) -> Response:
        """The firings of an alert, the latest first: what was counted, who was told, what went wrong."""
        website, query = await self.website(request, website_id), self.query(request, PageQuery)
        alert = await self.alert(website.id, alert_id)
        async with transaction() as db:
            rows = await store.firings_of(db, alert.id, before=id_after(query.cursor) or None, limit=query.limit + 1)
            items = await shown_firings(db, rows[: query.limit])
        return self.page(items, encode_cursor(items[-1].id) if len(rows) > query.limit else None)


async def shown_firings(db: AsyncConnection, rows: Sequence[Any]) -> list[FiringOut]:
    """Firings as they are answered, with their deliveries."""
    held = await deliveries.of_firings(db, [row.id for row in rows])
    return [
        FiringOut(
            id=row.id,
            at=row.at,
            value=row.value,
            usual=row.usual,
            is_test=row.is_test,
            resolved_at=row.resolved_at,
            deliveries=[DeliveryOut.model_validate(one) for one in held[row.id]],
        )
        for row in rows
    ]
