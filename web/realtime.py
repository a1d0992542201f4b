"""Who is on a website now, asked for or pushed."""

from datetime import datetime, timedelta
from typing import Any

import orjson
from aiohttp.web import Request, Response, StreamResponse
from faust.web import Blueprint
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import clock
from analytics_app.db import transaction
from analytics_app.realtime import store
from analytics_app.realtime.logic import view_of
from analytics_app.realtime.schemas import Realtime
from analytics_app.settings import settings
from web.event_streams import Pushed, event_stream
from web.resource import Resource, operation

blueprint = Blueprint("realtime")

OVERDUE = timedelta(seconds=2)


async def live_views(db: AsyncConnection, website_ids: list[int], now: datetime) -> dict[int, dict[str, Any]]:
    """The live view of each website. One that no worker keeps up to date is made from the rows."""
    held = await store.views_of(db, website_ids)
    views = {}
    for website_id in website_ids:
        view, changes_at = held.get(website_id, (None, None))
        if view is None or (changes_at is not None and changes_at + OVERDUE < now):
            since = now - timedelta(seconds=settings().realtime_window_s)
            view = view_of(await store.active_from_rows(db, website_id, since))
        views[website_id] = view
    return views


async def look(website_ids: list[int]) -> dict[int, dict[str, Any]]:
    """The live views of the websites that somebody follows."""
    async with transaction() as db:
        return await live_views(db, website_ids, clock.now())


def tell(view: dict[str, Any]) -> bytes:
    """A live view as it is pushed."""
    return orjson.dumps(Realtime(timestamp=clock.now(), **view).model_dump(mode="json"))


PUSHED = Pushed("realtime", look, tell)


@blueprint.route("/websites/{website_id}/realtime", name="realtime")
class RealtimeView(Resource):
    """Who is on the website now."""

    tag = "Statistics"

    @operation(answer=Realtime)
    async def get(self, request: Request, website_id: str) -> Response:
        """Visitors with any activity in the last five minutes, the page each saw last, and where they are."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            views = await live_views(db, [website.id], clock.now())
        return self.json(Realtime(timestamp=clock.now(), **views[website.id]))


@blueprint.route("/websites/{website_id}/realtime/stream", name="realtime_stream")
class RealtimeStream(Resource):
    """The same, pushed."""

    tag = "Statistics"
    needs_postgres = False

    @operation(answer=event_stream("realtime", "a live view"), content_types=("text/event-stream",))
    async def get(self, request: Request, website_id: str) -> StreamResponse:
        """The live view now and at each change, as server-sent events; a comment line every 15 s keeps it open."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            views = await live_views(db, [website.id], clock.now())
        return await PUSHED.stream(request, website.id, views[website.id])
