"""Recordings: `/analytics/websites/{id}/replays`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp.web import Request, Response, StreamResponse
from faust.web import Blueprint

from analytics_app import clock
from analytics_app.db import transaction
from analytics_app.errors import NotFound
from analytics_app.replays import playing
from analytics_app.replays import reading_store as store
from analytics_app.replays.logic import gaps
from analytics_app.replays.reading_store import Wanted
from analytics_app.replays.schemas import GapOut, OneReplayOut, PlaybackQuery, ReplayOut, ReplaysQuery
from analytics_app.shapes import decode_cursor, encode_cursor
from web import event_streams
from web.resource import One, Page, Resource, operation

blueprint = Blueprint("replays")

RUNNING = timedelta(minutes=2)
"""A recorder that is open sends something within that: a snapshot every 30 s while anybody is there."""
CHUNKS_READ = 8
LOOKED_EVERY_S = 1.0
PINGED_EVERY_S = 15.0
LATE_S = 5.0
"""How long one who follows waits for a chunk that others overtook."""
EVENTS = {"type": "array", "description": "rrweb events", "items": {"type": "object"}}


def shown(row: Any, now: datetime) -> dict[str, Any]:
    """A recording as the API shows it."""
    return {
        "id": row.id,
        "website_id": row.website_id,
        "visitor_hash": row.visitor.hex,
        "session_hash": row.session_key.hex,
        "started_at": row.started_at,
        "ended_at": row.started_at + timedelta(milliseconds=row.duration_ms),
        "is_running": row.stopped is None and row.updated_at > now - RUNNING,
        "duration": row.duration_ms // 1000,
        "entry_page": row.entry_page,
        "pages": row.pages,
        "page_count": len(row.pages),
        "clicks": row.clicks,
        "rage_clicks": row.rage_clicks,
        "errors": row.errors,
        "country_code": row.country,
        "device_type": row.device_type,
        "browser": row.browser,
        "os": row.os,
        "events": row.events,
        "chunks": row.chunks,
        "size": row.stored_bytes,
        "size_inflated": row.raw_bytes,
        "stopped": row.stopped,
    }


def wanted(query: ReplaysQuery, now: datetime) -> Wanted:
    """What the query asks for. Raises `Invalid` where its period is none."""
    period = query.period(now)
    columns = {
        "device_type": query.device_type,
        "country": query.country_code,
        "browser": query.browser,
        "os": query.os,
    }
    return Wanted(
        since=period and period.start,
        until=period and period.end,
        min_ms=None if query.min_duration is None else query.min_duration * 1000,
        max_ms=None if query.max_duration is None else query.max_duration * 1000 + 999,
        min_pages=query.min_pages,
        max_pages=query.max_pages,
        min_clicks=query.min_clicks,
        max_clicks=query.max_clicks,
        page=query.page,
        rage_clicks=query.rage_clicks,
        errors=query.errors,
        visitor=query.visitor_hash,
        equal=tuple((column, value) for column, value in columns.items() if value is not None),
    )


def after(cursor: str | None) -> tuple[datetime, int] | None:
    """Where a page goes on. Raises `NotFound` on a cursor of another list."""
    if not cursor:
        return None
    said = decode_cursor(cursor)
    if not (isinstance(said, list) and len(said) == 2 and all(type(one) is int for one in said)):
        raise NotFound("cursor: it is not the next_cursor of an earlier page of this list")
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=said[0]), said[1]


def cursor_of(row: Any) -> str:
    """What follows `row`."""
    return encode_cursor([(row.started_at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1), row.id])


@blueprint.route("/websites/{website_id}/replays", name="list")
class Replays(Resource):
    """The recordings of a website."""

    tag = "Session Replays"

    @operation(query=ReplaysQuery, answer=Page(ReplayOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """List recordings, the newest first."""
        website = await self.website(request, website_id)
        query, now = self.query(request, ReplaysQuery), clock.now()
        async with transaction() as db:
            rows = await store.replays_of(
                db, website.id, wanted(query, now), after=after(query.cursor), limit=query.limit + 1
            )
        page = [ReplayOut(**shown(row, now)) for row in rows[: query.limit]]
        return self.page(page, cursor_of(rows[query.limit - 1]) if len(rows) > query.limit else None)


class OfReplay(Resource):
    """What the views of one recording share."""

    tag = "Session Replays"

    async def row(self, request: Request, website_id: str, replay_id: str) -> Any:
        """The recording. Raises `NotFound`, `Forbidden`."""
        website, wanted_id = await self.website(request, website_id), self.id(replay_id)
        async with transaction() as db:
            row = await store.replay_of(db, website.id, wanted_id)
        if row is None:
            raise NotFound
        return row


@blueprint.route("/websites/{website_id}/replays/{replay_id}", name="one")
class OneReplay(OfReplay):
    """One recording."""

    @operation(answer=One(OneReplayOut))
    async def get(self, request: Request, website_id: str, replay_id: str) -> Response:
        """Get a recording, without its events, and what is missing from it."""
        row = await self.row(request, website_id, replay_id)
        async with transaction() as db:
            times = await store.times_of(db, row.id)
        missing = [
            GapOut(first_sequence=gap.first, last_sequence=gap.last, from_s=gap.from_ms / 1000, to_s=gap.to_ms / 1000)
            for gap in gaps(times, row.first_ms)
        ]
        return self.one(OneReplayOut(**shown(row, clock.now()), gaps=missing))

    @operation(status=204)
    async def delete(self, request: Request, website_id: str, replay_id: str) -> Response:
        """Delete a recording. It is gone at once, and so is whatever of its session is still on its way."""
        website, wanted_id = await self.website(request, website_id), self.id(replay_id)
        async with transaction() as db:
            if not await store.delete_replay(db, website.id, wanted_id):
                raise NotFound
        return self.no_content()


async def chunks_of(replay_id: int, sequence: int) -> AsyncIterator[tuple[int, int, bytes]]:
    """The chunks from that number on, a few at a time: sequence, the sanitiser they passed, data."""
    while True:
        async with transaction() as db:
            rows = await store.chunks_from(db, replay_id, sequence, CHUNKS_READ)
        for row in rows:
            yield row.sequence, row.sanitiser, row.data
        if len(rows) < CHUNKS_READ:
            return
        sequence = rows[-1].sequence + 1


@blueprint.route("/websites/{website_id}/replays/{replay_id}/playback", name="playback")
class Playback(OfReplay):
    """The events of a recording."""

    @operation(answer=EVENTS)
    async def get(self, request: Request, website_id: str, replay_id: str) -> StreamResponse:
        """Every event, in order, as one array that rrweb's player plays from its first; written chunk by chunk."""
        row = await self.row(request, website_id, replay_id)
        async with transaction() as db:
            first = await store.first_snapshot(db, row.id)
        response = StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-store"})
        if "gzip" in request.headers.get("Accept-Encoding", "").lower():
            response.enable_compression()
        await response.prepare(request)
        between = b"["
        if first is not None:
            async for sequence, sanitiser, data in chunks_of(row.id, first):
                said = await asyncio.to_thread(playing.events_json, data, sanitiser, is_first=sequence == first)
                if said:
                    await response.write(between + said)
                    between = b","
        await response.write(b"[]" if between == b"[" else b"]")
        await response.write_eof()
        return response


@blueprint.route("/websites/{website_id}/replays/{replay_id}/playback/stream", name="playback_stream")
class PlaybackStream(OfReplay):
    """The events of a recording, and those still to come."""

    @operation(
        query=PlaybackQuery,
        answer=event_streams.event_stream("chunk", "an array of rrweb events"),
        content_types=("text/event-stream",),
    )
    async def get(self, request: Request, website_id: str, replay_id: str) -> StreamResponse:
        """Follow a session while it runs: its chunks as server-sent events, from the first a player can begin with.

        Each event's id is its chunk's number; `Last-Event-ID` or `after` goes on behind it. `end` comes when nothing
        more will.
        """
        query = self.query(request, PlaybackQuery)
        row = await self.row(request, website_id, replay_id)
        said = request.headers.get("Last-Event-ID", "")
        resumed = int(said) if said.isdecimal() and len(said) < 8 else query.after
        async with transaction() as db:
            first = await store.first_snapshot(db, row.id) or 0
        response = StreamResponse(headers=event_streams.HEADERS)
        await response.prepare(request)
        await response.write(b"retry: 2000\n\n")
        with suppress(ConnectionResetError):
            await follow(response, row, first if resumed is None else resumed + 1, is_first=resumed is None)
        return response


async def follow(response: StreamResponse, row: Any, due: int, *, is_first: bool) -> None:
    """Write chunks from number `due` on, as they come, until the session is over or this process stops."""
    late_since = pinged = clock.monotonic()
    while not event_streams.Pushed.ended:
        moved = False
        async for sequence, sanitiser, data in chunks_of(row.id, due):
            if sequence > due and clock.monotonic() - late_since < LATE_S and not is_first:
                break
            said = await asyncio.to_thread(playing.events_json, data, sanitiser, is_first=is_first)
            await response.write(b"id: %d\nevent: chunk\ndata: [%b]\n\n" % (sequence, said))
            due, moved, is_first, late_since = sequence + 1, True, False, clock.monotonic()
        if not moved:
            async with transaction() as db:
                now = await store.replay_of(db, row.website_id, row.id)
            if now is None or not shown(now, clock.now())["is_running"]:
                await response.write(b"event: end\ndata: {}\n\n")
                return
        if clock.monotonic() - pinged > PINGED_EVERY_S:
            pinged = clock.monotonic()
            await response.write(b": here\n\n")
        await asyncio.sleep(LOOKED_EVERY_S)
