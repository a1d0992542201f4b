"""Who is on a website now, asked for or pushed."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import orjson
from aiohttp.web import Application, Request, Response, StreamResponse
from faust.web import Blueprint
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import clock
from analytics_app.db import is_away, transaction
from analytics_app.realtime import store
from analytics_app.realtime.logic import view_of
from analytics_app.realtime.schemas import Realtime
from analytics_app.settings import settings
from web.resource import Resource, operation

blueprint = Blueprint("realtime")

OVERDUE = timedelta(seconds=2)
PUSHED_EVERY_S = 0.5
PINGED_EVERY_S = 15.0
EVENT_STREAM = {
    "type": "object",
    "description": "A server-sent event; its data is a live view in JSON",
    "properties": {"event": {"const": "realtime"}, "data": {"type": "string", "contentMediaType": "application/json"}},
    "required": ["event", "data"],
}


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


class Pushed:
    """One look a moment at the websites that somebody of this process follows, however many follow."""

    def __init__(self) -> None:
        self.followers: dict[int, set[asyncio.Queue[bytes]]] = {}
        self.ended = False
        self._looking: asyncio.Task[None] | None = None

    def follow(self, website_id: int) -> asyncio.Queue[bytes]:
        """A queue in which each change of the website's view arrives; of many unread ones the last stays."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)
        self.followers.setdefault(website_id, set()).add(queue)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return queue

    def leave(self, website_id: int, queue: asyncio.Queue[bytes]) -> None:
        """Stop following."""
        queues = self.followers.get(website_id, set())
        queues.discard(queue)
        if not queues:
            self.followers.pop(website_id, None)

    async def end(self, _: Application | None = None) -> None:
        """End every stream: a server that stops waits for them."""
        self.ended = True
        for queues in self.followers.values():
            for queue in queues:
                with suppress(asyncio.QueueEmpty):
                    queue.get_nowait()
                queue.put_nowait(b"")  # wakes it

    async def _look(self) -> None:
        last: dict[int, bytes] = {}
        while self.followers:
            await asyncio.sleep(PUSHED_EVERY_S)
            try:
                async with transaction() as db:
                    views = await live_views(db, list(self.followers), clock.now())
            except Exception as error:
                if not is_away(error):
                    raise
                continue
            for website_id, view in views.items():
                written = orjson.dumps(view)
                if last.get(website_id) != written:
                    last[website_id] = written
                    self._put(website_id, message_of(view))

    def _put(self, website_id: int, message: bytes) -> None:
        for queue in self.followers.get(website_id, ()):
            with suppress(asyncio.QueueEmpty):
                queue.get_nowait()
            queue.put_nowait(message)


PUSHED = Pushed()


def message_of(view: dict[str, Any]) -> bytes:
    """One server-sent event."""
    told = Realtime(timestamp=clock.now(), **view).model_dump(mode="json")
    return b"event: realtime\ndata: " + orjson.dumps(told) + b"\n\n"


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

    @operation(answer=EVENT_STREAM, content_types=("text/event-stream",))
    async def get(self, request: Request, website_id: str) -> StreamResponse:
        """The live view now and at each change, as server-sent events; a comment line every 15 s keeps it open."""
        website = await self.website(request, website_id)
        async with transaction() as db:
            views = await live_views(db, [website.id], clock.now())
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Type": "text/event-stream"}
        response = StreamResponse(headers=headers)
        queue = PUSHED.follow(website.id)
        try:
            await response.prepare(request)
            await response.write(b"retry: 2000\n\n" + message_of(views[website.id]))
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), PINGED_EVERY_S)
                except TimeoutError:
                    message = b": here\n\n"
                if PUSHED.ended:
                    return response
                await response.write(message)
        except ConnectionResetError:
            return response
        finally:
            PUSHED.leave(website.id, queue)
