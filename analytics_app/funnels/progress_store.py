"""SQL of visitors on their way: their states, locked, and their attempts; all in the transaction that is given."""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from analytics_app.arrays import binaries, numbers, truths
from analytics_app.db import AsyncDriver
from analytics_app.funnels.logic import FunnelSet, Run
from analytics_app.funnels.progress import Progress, Seen, decode_progress, encode_progress, over_ms
from analytics_app.sessions.kinds import EventKind
from analytics_app.sessions.state import Held

RUN_COLUMNS = "visitor, funnel_id, event_id, session_id, started_at, revision, required, taken, is_open, offsets_ms"
_MS = "timestamptz 'epoch' + {} * interval '1 millisecond'"


# States.


async def open_states(
    db: AsyncDriver, websites: Mapping[int, int], held: Mapping[str, Held | None]
) -> dict[int, Progress]:
    """The states of those visitors (each with its website), locked; empty ones of those that had none.

    A copy in `held` is used where its version is the row's. A visitor that does not exist any more is missing.
    """
    states = await _locked(db, sorted(websites), held)
    missing = sorted(websites.keys() - states.keys())
    if missing:
        made = await _make(db, missing, websites)
        states |= dict.fromkeys(made, Progress())
        if others := [visitor for visitor in missing if visitor not in made]:  # made by another meanwhile, or erased
            states |= await _locked(db, others, {})
    return states


async def _locked(db: AsyncDriver, visitors: Sequence[int], held: Mapping[str, Held | None]) -> dict[int, Progress]:
    versions = [copy.version if (copy := held.get(str(visitor))) else None for visitor in visitors]
    rows = await db.execute(
        "SELECT visitor, CASE WHEN version IS DISTINCT FROM wanted.held THEN state END FROM funnel_progress "
        "JOIN unnest(%s::bigint[], %s::bigint[]) AS wanted (number, held) ON visitor = wanted.number "
        "ORDER BY visitor FOR UPDATE OF funnel_progress",
        (numbers(visitors), numbers(versions)),
    )
    states = {}
    async for visitor, newer in rows:
        copy = held.get(str(visitor))
        states[visitor] = decode_progress(copy.state if copy and newer is None else newer)
    return states


async def _make(db: AsyncDriver, visitors: Sequence[int], websites: Mapping[int, int]) -> set[int]:
    """Make rows for those visitors that exist and have none; another who makes one at the same time waits."""
    rows = await db.execute(
        "INSERT INTO funnel_progress (visitor, website_id, version, over_at, state) "
        "SELECT v.number, v.website_id, 0, now(), ''::bytea FROM visitors v "
        "JOIN unnest(%s::bigint[], %s::int[]) AS wanted (n, w) ON v.number = n AND v.website_id = w "
        "ORDER BY v.number ON CONFLICT DO NOTHING RETURNING visitor",
        (numbers(visitors), numbers(websites[visitor] for visitor in visitors)),
    )
    return {visitor async for (visitor,) in rows}


async def save_states(
    db: AsyncDriver, sets: Mapping[int, FunnelSet], states: Mapping[int, tuple[int, Progress]]
) -> dict[str, Held]:
    """Write those states, by visitor with its website; returns them as a table may hold them after the commit."""
    if not states:
        return {}
    version = random.getrandbits(62)  # no other change of any state bears it
    saved = {visitor: encode_progress(states[visitor][1]) for visitor in sorted(states)}
    overs = (over_ms(sets[website_id], state) for website_id, state in (states[visitor] for visitor in saved))
    await db.execute(
        f"UPDATE funnel_progress p SET version = %s, over_at = {_MS.format('o')}, state = s "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[]) AS n (v, o, s) WHERE p.visitor = n.v",
        (version, numbers(saved), numbers(overs), binaries(saved.values())),
    )
    return {str(visitor): Held(version, state) for visitor, state in saved.items()}


async def remove_states(db: AsyncDriver, visitors: Collection[int]) -> None:
    """Delete the states of those visitors."""
    if visitors:
        await db.execute("DELETE FROM funnel_progress WHERE visitor = ANY(%s::bigint[])", (numbers(sorted(visitors)),))


async def forget_visitors(db: AsyncDriver, visitors: Collection[int]) -> None:
    """Delete whatever funnels hold of those visitors, for good: for visitors who are erased."""
    await remove_states(db, visitors)
    await db.execute("DELETE FROM funnel_runs WHERE visitor = ANY(%s::bigint[])", (numbers(sorted(visitors)),))


async def forget_states(db: AsyncDriver, place: int, partitions: int, before: datetime, most: int) -> list[str]:
    """Delete up to `most` states of a partition that are over; returns their keys."""
    rows = await db.execute(
        "DELETE FROM funnel_progress WHERE visitor IN (SELECT visitor FROM funnel_progress "
        "WHERE over_at < %s AND visitor %% %s = %s ORDER BY visitor LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING visitor",
        (before, partitions, place, most),
    )
    return [str(visitor) async for (visitor,) in rows]


# Sessions that were taken out.


async def remember_gone(db: AsyncDriver, session_ids: Collection[int]) -> None:
    """Remember sessions that are taken out: what of them is still on the topic is left out when it comes."""
    await db.execute(
        "INSERT INTO funnel_gone_sessions (session_id) SELECT unnest(%s::bigint[]) ON CONFLICT DO NOTHING",
        (numbers(sorted(session_ids)),),
    )


async def gone_among(db: AsyncDriver, session_ids: Collection[int]) -> set[int]:
    """Those of the sessions that were taken out. Asked once the states of their visitors are locked."""
    rows = await db.execute(
        "SELECT session_id FROM funnel_gone_sessions WHERE session_id = ANY(%s::bigint[])",
        (numbers(sorted(session_ids)),),
    )
    return {session_id async for (session_id,) in rows}


async def forget_gone(db: AsyncDriver, before: datetime) -> None:
    """Forget the sessions taken out before `before`: nothing of them is on the topic any more."""
    await db.execute("DELETE FROM funnel_gone_sessions WHERE gone_at < %s", (before,))


# Attempts.

Attempt = tuple[int, int, int, Run]
"""Visitor, funnel, the funnel's revision, and the attempt."""


async def put_runs(db: AsyncDriver, attempts: Iterable[Attempt]) -> None:
    """Write attempts; one that is there is written anew."""
    rows = sorted(attempts, key=lambda one: (one[0], one[1], one[3].event_id))
    if not rows:
        return
    found = [run for *_, run in rows]
    await db.execute(
        f"INSERT INTO funnel_runs AS r ({RUN_COLUMNS}) "
        f"SELECT v, f, e, s, {_MS.format('a')}, rev, req, tak, op, off::bigint[] FROM unnest(%s::bigint[], %s::int[], "
        "%s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::smallint[], %s::smallint[], %s::boolean[], %s::text[]"
        ") AS n (v, f, e, s, a, rev, req, tak, op, off) "
        "ON CONFLICT (visitor, funnel_id, event_id) DO UPDATE SET session_id = excluded.session_id, "
        "started_at = excluded.started_at, revision = excluded.revision, required = excluded.required, "
        "taken = excluded.taken, is_open = excluded.is_open, offsets_ms = excluded.offsets_ms "
        "WHERE (r.session_id, r.revision, r.required, r.taken, r.is_open, r.offsets_ms) IS DISTINCT FROM "
        "(excluded.session_id, excluded.revision, excluded.required, excluded.taken, excluded.is_open, "
        "excluded.offsets_ms)",
        (
            numbers(visitor for visitor, *_ in rows),
            numbers(funnel_id for _, funnel_id, *_ in rows),
            numbers(run.event_id for run in found),
            numbers(run.session_id for run in found),
            numbers(run.started_ms for run in found),
            numbers(revision for *_, revision, _ in rows),
            numbers(run.required for run in found),
            numbers(run.taken for run in found),
            truths(run.is_open for run in found),
            "{" + ",".join(f'"{numbers(run.offsets_ms)}"' for run in found) + "}",
        ),
    )


async def remove_runs_but(db: AsyncDriver, visitors: Collection[int], attempts: Iterable[Attempt]) -> None:
    """Delete the attempts of those visitors that are none of `attempts`."""
    kept = sorted((visitor, funnel_id, run.event_id) for visitor, funnel_id, _, run in attempts)
    await db.execute(
        "DELETE FROM funnel_runs r WHERE visitor = ANY(%s::bigint[]) AND NOT EXISTS (SELECT FROM "
        "unnest(%s::bigint[], %s::int[], %s::bigint[]) AS kept (v, f, e) "
        "WHERE v = r.visitor AND f = r.funnel_id AND e = r.event_id)",
        (
            numbers(sorted(visitors)),
            numbers(visitor for visitor, _, _ in kept),
            numbers(funnel_id for _, funnel_id, _ in kept),
            numbers(event_id for _, _, event_id in kept),
        ),
    )


# What is stored.


async def stored_events(db: AsyncDriver, website_id: int, visitors: Collection[int]) -> dict[int, list[Seen]]:
    """The stored pageviews and events of those visitors, in no order."""
    rows = await db.execute(
        "SELECT e.visitor, (extract(epoch FROM e.at) * 1000)::bigint, e.id, e.session_id, e.kind, coalesce(t.text, '') "
        "FROM sessions s JOIN events e ON e.session_id = s.id AND e.website_id = s.website_id "
        "AND e.at BETWEEN s.started_at AND s.last_at "
        "LEFT JOIN terms t ON t.id = CASE WHEN e.kind = %s THEN e.path ELSE e.name END "
        "WHERE s.website_id = %s AND s.visitor = ANY(%s::bigint[])",
        (int(EventKind.PAGEVIEW), website_id, numbers(sorted(visitors))),
    )
    found: dict[int, list[Seen]] = {visitor: [] for visitor in visitors}
    async for visitor, at_ms, event_id, session_id, kind, text in rows:
        found[visitor].append(Seen(at_ms, event_id, session_id, 0, kind, text))
    return found


async def visitors_after(db: AsyncDriver, website_id: int, after: int, most: int) -> list[int]:
    """The next `most` visitors of a website, beyond the number `after`, in order."""
    rows = await db.execute(
        "SELECT DISTINCT visitor FROM sessions WHERE website_id = %s AND visitor > %s ORDER BY visitor LIMIT %s",
        (website_id, after, most),
    )
    return [visitor async for (visitor,) in rows]
