"""SQL of recordings as they are written: all in the batch's transaction, by natural keys."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analytics_app.arrays import hexes, numbers
from analytics_app.db import AsyncDriver
from analytics_app.records import Recorded
from analytics_app.replays.events import VERSION
from analytics_app.replays.logic import Chunk, Click, Origin, Recording, recording_key

Key = tuple[int, str, str]
"""A website, the key of one of its sessions, and the tab of it that was recorded."""

# A browser's clock may be wrong by years; then the time counts at which its first chunk was stored.
_BEGAN = (
    "CASE WHEN timestamptz 'epoch' + {ms} * interval '1 millisecond' BETWEEN now() - interval '49 hours' "
    "AND now() + interval '10 minutes' THEN timestamptz 'epoch' + {ms} * interval '1 millisecond' ELSE {otherwise} END"
)


@dataclass(frozen=True, slots=True)
class Held:
    """A session's recording as its row has it, locked."""

    id: int
    recording: Recording
    elsewhere: int
    """Bytes that the session's recordings in other tabs take."""


async def leave_out_deleted(db: AsyncDriver, hits: Sequence[Any]) -> dict[int, str]:
    """The chunks, by their place, of recordings that were deleted. A part of `analytics_app.removal`."""
    chunks = [(place, hit) for place, hit in enumerate(hits) if isinstance(hit, Recorded)]
    if not chunks:
        return {}
    rows = await db.execute(
        "SELECT DISTINCT place FROM unnest(%s::int[], %s::uuid[], %s::bigint[]) "
        "WITH ORDINALITY AS c (website, key, ms, place) JOIN replay_tombstones t "
        "ON t.website_id = c.website AND t.key = c.key "
        "AND t.before >= timestamptz 'epoch' + c.ms * interval '1 millisecond'",
        (
            numbers(chunk.website_id for _, chunk in chunks),
            hexes(recording_key(chunk.session_key, chunk.tab) for _, chunk in chunks),
            numbers(chunk.at_ms for _, chunk in chunks),
        ),
    )
    return {chunks[place - 1][0]: "deleted" async for (place,) in rows}


async def remove_sessions(db: AsyncDriver, website_id: int, sessions: Mapping[str, str]) -> None:
    """Delete the recordings of sessions, given by key. A part of `analytics_app.removal`."""
    await db.execute(
        "DELETE FROM replays WHERE website_id = %s AND session_key = ANY(%s::uuid[])",
        (website_id, hexes(sorted(sessions))),
    )


async def lock(db: AsyncDriver, chunks: Mapping[Key, Chunk]) -> dict[Key, Held]:
    """The recordings of those keys, locked; begun, empty, where there are none. `chunks` has one of each."""
    keys = sorted(chunks)
    columns = (
        numbers(website_id for website_id, _, _ in keys),
        hexes(session for _, session, _ in keys),
        hexes(tab for _, _, tab in keys),
    )
    await db.execute(
        "INSERT INTO replays (website_id, session_key, tab, visitor, started_at) "
        f"SELECT w, s, t, v, {_BEGAN.format(ms='b', otherwise='now()')} "
        "FROM unnest(%s::int[], %s::uuid[], %s::uuid[], %s::uuid[], %s::bigint[]) AS n (w, s, t, v, b) "
        "WHERE NOT EXISTS (SELECT FROM replays WHERE website_id = w AND session_key = s AND tab = t) "
        "ON CONFLICT DO NOTHING",
        (
            *columns,
            hexes(chunks[key].origin.visitor for key in keys),
            numbers(chunks[key].facts.first_ms for key in keys),
        ),
    )
    rows = await db.execute(
        "SELECT id, (SELECT coalesce(sum(o.stored_bytes), 0)::bigint FROM replays o WHERE o.website_id = w"
        " AND o.session_key = s AND o.tab <> t), website_id, encode(uuid_send(session_key), 'hex'),"
        " encode(uuid_send(tab), 'hex'), chunks, stored_bytes, raw_bytes, events,"
        " first_ms, last_ms, first_sequence, last_sequence, clicks, errors, entry_ms, entry_page, pages, stopped,"
        " encode(uuid_send(visitor), 'hex'), country, device_type, browser, os FROM replays "
        "JOIN unnest(%s::int[], %s::uuid[], %s::uuid[]) AS wanted (w, s, t) "
        "ON website_id = w AND session_key = s AND tab = t "
        "ORDER BY website_id, session_key, tab FOR UPDATE OF replays",
        columns,
    )
    held = {}
    async for row in rows:
        sums: list[Any]
        id_, elsewhere, website_id, session, tab, *sums, pages, stopped, visitor, country, device, browser, os = row
        origin = Origin(visitor, 0, country, device, browser, os)
        recording = Recording(*(*sums, tuple(pages), stopped, origin))
        held[website_id, session, tab] = Held(id_, recording, elsewhere)
    return held


async def sequences(db: AsyncDriver, chunks: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of `chunks` (recording, sequence) that are stored already."""
    wanted = list(chunks)
    rows = await db.execute(
        "SELECT replay_id, sequence FROM replay_chunks JOIN unnest(%s::int[], %s::int[]) AS wanted (r, s) "
        "ON replay_id = r AND sequence = s",
        (numbers(replay_id for replay_id, _ in wanted), numbers(sequence for _, sequence in wanted)),
    )
    return {(replay_id, sequence) async for replay_id, sequence in rows}


async def add_chunks(db: AsyncDriver, chunks: Sequence[tuple[int, Chunk]]) -> None:
    """Store chunks that are not stored yet, each with the id of its recording."""
    async with (
        db.cursor() as cursor,
        cursor.copy(
            "COPY replay_chunks (replay_id, sequence, first_ms, last_ms, sanitiser, has_snapshot, click_marks, data) "
            "FROM STDIN WITH (FORMAT binary)"
        ) as copy,
    ):
        copy.set_types(("int4", "int4", "int8", "int8", "int2", "bool", "int8[]", "bytea"))
        for replay_id, chunk in chunks:
            facts = chunk.facts
            marks = [value for click in facts.clicks for value in click] or None
            times = (facts.first_ms, facts.last_ms)
            await copy.write_row((replay_id, chunk.sequence, *times, VERSION, facts.has_snapshot, marks, chunk.data))


async def clicks_of(db: AsyncDriver, replay_ids: Collection[int]) -> dict[int, list[Click]]:
    """Every click of those recordings."""
    rows = await db.execute(
        "SELECT replay_id, click_marks FROM replay_chunks WHERE replay_id = ANY(%s) AND click_marks IS NOT NULL",
        (sorted(replay_ids),),
    )
    clicks: dict[int, list[Click]] = {replay_id: [] for replay_id in replay_ids}
    async for replay_id, marks in rows:
        clicks[replay_id] += zip(marks[::3], marks[1::3], marks[2::3], strict=True)
    return clicks


_SAVE = (
    "UPDATE replays SET chunks = %s, stored_bytes = %s, raw_bytes = %s, events = %s, first_ms = %s, last_ms = %s,"
    " duration_ms = %s, first_sequence = %s, last_sequence = %s, clicks = %s, errors = %s, entry_ms = %s,"
    " entry_page = %s, pages = %s, stopped = %s, visitor = %s, country = %s, device_type = %s, browser = %s, os = %s,"
    f" started_at = {_BEGAN.format(ms='%s', otherwise='started_at')}, rage_clicks = coalesce(%s, rage_clicks),"
    " updated_at = now(), stopped_at = CASE WHEN %s THEN coalesce(stopped_at, now()) END WHERE id = %s"
)


async def save(db: AsyncDriver, changed: Mapping[int, Recording], rage_clicks: Mapping[int, int]) -> None:
    """Write what recordings add up to now; `rage_clicks` of those whose clicks changed."""
    async with db.cursor() as cursor:
        await cursor.executemany(
            _SAVE,
            [
                (
                    one.chunks, one.stored_bytes, one.raw_bytes, one.events, one.first_ms, one.last_ms, one.duration_ms,
                    one.first_sequence, one.last_sequence, one.clicks, one.errors, one.entry_ms, one.entry_page,
                    list(one.pages), one.stopped, uuid.UUID(one.origin.visitor), one.origin.country,
                    one.origin.device_type, one.origin.browser, one.origin.os, one.first_ms, one.first_ms,
                    rage_clicks.get(id_), one.stopped is not None, id_,
                )
                for id_, one in sorted(changed.items())
            ],
        )  # fmt: skip


async def forget_empty(db: AsyncDriver, replay_ids: Collection[int]) -> None:
    """Delete those of the recordings that hold nothing."""
    await db.execute("DELETE FROM replays WHERE id = ANY(%s) AND chunks = 0", (sorted(replay_ids),))
