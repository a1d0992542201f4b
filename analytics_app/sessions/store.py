"""SQL of sessions: what the fold of a batch starts from, locked; all in the batch's transaction."""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from analytics_app.arrays import hexes, numbers
from analytics_app.db import AsyncDriver
from analytics_app.records import AnyHit, Hit
from analytics_app.sessions.kinds import EventKind
from analytics_app.sessions.logic import Folded
from analytics_app.sessions.state import Held, State, View, decode_state

_HEX = "encode(uuid_send(hash), 'hex')"  # a text is read faster than a uuid


def new_version() -> int:
    """A number that no other change of any state bears."""
    return random.getrandbits(62)


def instant(at_ms: int) -> datetime:
    """Milliseconds since 1970 as Postgres takes them."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


async def states_of(db: AsyncDriver, held: Mapping[str, Held | None]) -> dict[str, State]:
    """The states of those keys as the rows have them now, locked; a key without a row is missing.

    A copy in `held` is used where its version is the row's; otherwise the row is read.
    """
    keys = sorted(held)
    versions = [copy.version if (copy := held[key]) else None for key in keys]
    rows = await db.execute(
        "SELECT place, CASE WHEN version IS DISTINCT FROM wanted.held THEN state END FROM session_states "
        "JOIN unnest(%s::uuid[], %s::bigint[]) WITH ORDINALITY AS wanted (wanted_key, held, place) ON key = wanted_key "
        "ORDER BY key FOR UPDATE OF session_states",
        (hexes(keys), numbers(versions)),
    )
    states = {}
    async for place, newer in rows:
        key = keys[place - 1]
        copy = held[key]
        states[key] = decode_state(copy.state if copy and newer is None else newer)
    return states


async def views_of(db: AsyncDriver, event_ids: Iterable[int], since: datetime) -> list[tuple[int, View]]:
    """Those pageviews as (session id, view), of events since `since`."""
    rows = await db.execute(
        "SELECT session_id, id, at, time_on_page_s, scroll_depth FROM events "
        "WHERE id = ANY(%s::bigint[]) AND at >= %s AND kind = %s",
        (sorted(event_ids), since, int(EventKind.PAGEVIEW)),
    )
    return [
        (session_id, View(event_id, round(at.timestamp() * 1000), time_s, scroll))
        async for session_id, event_id, at, time_s, scroll in rows
    ]


async def claim_client_ids(db: AsyncDriver, hits: Sequence[AnyHit]) -> dict[int, int]:
    """Claim the clients' own ids of `hits`; returns, by event id, what each repeat repeats."""
    first: dict[tuple[int, str], int] = {}
    repeats: dict[int, int] = {}
    for hit in hits:
        if isinstance(hit, Hit) and hit.client_id:
            kept = first.setdefault((hit.website_id, hit.client_id), hit.event_id)
            if kept != hit.event_id:
                repeats[hit.event_id] = kept
    if not first:
        return {}
    claims = sorted(first)
    columns = (numbers(website_id for website_id, _ in claims), hexes(client_id for _, client_id in claims))
    rows = await db.execute(
        "INSERT INTO client_ids (website_id, id, event_id) SELECT * FROM unnest(%s::int[], %s::uuid[], %s::bigint[]) "
        "ON CONFLICT DO NOTHING RETURNING event_id",
        (*columns, numbers(first[claim] for claim in claims)),
    )
    won = {event_id async for (event_id,) in rows}
    if len(won) < len(claims):
        rows = await db.execute(
            "SELECT website_id, id, event_id FROM client_ids JOIN unnest(%s::int[], %s::uuid[]) AS wanted (w, i) "
            "ON website_id = w AND id = i",
            columns,
        )
        before = {(website_id, client_id.hex): event_id async for website_id, client_id, event_id in rows}
        lost = {
            first[claim]: before[claim] for claim in claims if first[claim] not in won and before[claim] != first[claim]
        }
        repeats = {event_id: lost.get(kept, kept) for event_id, kept in repeats.items()} | lost
    return repeats


async def forget_states(db: AsyncDriver, partition: int, before: datetime, most: int) -> list[str]:
    """Delete up to `most` states of a partition that nothing can change any more; returns their keys."""
    rows = await db.execute(
        "DELETE FROM session_states WHERE key IN (SELECT key FROM session_states "
        "WHERE partition = %s AND last_at < %s LIMIT %s) RETURNING key",
        (partition, before, most),
    )
    return [key.hex async for (key,) in rows]


async def number_visitors(db: AsyncDriver, folded: Folded) -> None:
    """Give the visitors of sessions that `folded` opens their numbers."""
    opened = [change for change in folded.changes.values() if change.opened_by]
    first_seen: dict[tuple[int, str], int] = {}
    for change in opened:
        assert change.opened_by is not None
        who = (change.opened_by.website_id, change.opened_by.visitor)
        first_seen[who] = min(first_seen.get(who, change.visit.started_ms), change.visit.started_ms)
    known = await numbers_of(db, first_seen)
    for change in opened:
        assert change.opened_by is not None
        change.visit.visitor = known[change.opened_by.website_id, change.opened_by.visitor]


async def numbers_of(db: AsyncDriver, first_seen: Mapping[tuple[int, str], int]) -> dict[tuple[int, str], int]:
    """The numbers of those visitors (website, hash), given where they have none; with when each was first seen, in ms.

    In the order of the visitors, so that those who do this at once wait for one another and never in a circle.
    """
    if not first_seen:
        return {}
    # Asked first: an insert that meets a visitor who is there uses up a number all the same.
    known = await _numbers_of(db, sorted(first_seen))
    if new := sorted(first_seen.keys() - known.keys()):
        rows = await db.execute(
            "INSERT INTO visitors (website_id, hash, first_seen_at) "
            "SELECT w, h, timestamptz 'epoch' + f * interval '1 millisecond' "
            "FROM unnest(%s::int[], %s::uuid[], %s::bigint[]) AS wanted (w, h, f) "
            f"ON CONFLICT DO NOTHING RETURNING website_id, {_HEX}, number",
            (*_columns(new), numbers(first_seen[one] for one in new)),
        )
        known |= {(website_id, hash_): number async for website_id, hash_, number in rows}
        if others := sorted(first_seen.keys() - known.keys()):  # another worker was quicker
            known |= await _numbers_of(db, others)
    return known


async def _numbers_of(db: AsyncDriver, visitors: Sequence[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """The numbers of those visitors who have one, by website and hash."""
    rows = await db.execute(
        f"SELECT website_id, {_HEX}, number FROM visitors JOIN unnest(%s::int[], %s::uuid[]) AS wanted (w, h) "
        "ON website_id = w AND hash = h",
        _columns(visitors),
    )
    return {(website_id, hash_): number async for website_id, hash_, number in rows}


def _columns(visitors: Sequence[tuple[int, str]]) -> tuple[str, str]:
    return numbers(website_id for website_id, _ in visitors), hexes(hash_ for _, hash_ in visitors)
