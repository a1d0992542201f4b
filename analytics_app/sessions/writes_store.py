"""SQL of what a fold comes to: events, sessions, rollups and states; all in the batch's transaction."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from analytics_app.arrays import binaries, hexes, numbers, texts, truths
from analytics_app.db import AsyncDriver
from analytics_app.records import Hit
from analytics_app.sessions.kinds import SESSION_TERMS, TermKind
from analytics_app.sessions.logic import Change, Folded, rollup_of
from analytics_app.sessions.state import Held, View, Visit, encode_state
from analytics_app.sessions.store import instant, new_version
from analytics_app.sessions.terms import Named, number_terms

_json = msgspec.json.Encoder()


async def write(db: AsyncDriver, partition: int, folded: Folded, partition_of: Callable[[str], int]) -> dict[str, Held]:
    """Write what a fold came to, its visitors numbered.

    `partition` is one whose position the caller has locked, `partition_of` gives that of a session key. Returns the
    changed states as tables may hold them once this is committed. The statements go to Postgres at a stroke, whose
    answers are awaited together; so none of them may be a COPY.
    """
    named = await number_terms(db, _terms(folded))
    async with db.pipeline():
        await _insert_events(db, named, folded)
        await _insert_sessions(db, named, [change for change in folded.changes.values() if change.opened_by])
        await _update_sessions(db, named, [change for change in folded.changes.values() if not change.opened_by])
        await _update_engagement(db, folded.engagement)
        await _add_to_rollups(db, partition, folded)
        return await _save_states(db, folded, partition_of)


def _terms(folded: Folded) -> dict[tuple[int, TermKind], set[str]]:
    """Every text that the rows of `folded` name, by website and kind."""
    wanted: dict[tuple[int, TermKind], set[str]] = defaultdict(set)
    for hit, _ in folded.events:
        wanted[hit.website_id, TermKind.PATH].add(hit.path)
        if hit.title:
            wanted[hit.website_id, TermKind.TITLE].add(hit.title)
        if hit.name:
            wanted[hit.website_id, TermKind.EVENT_NAME].add(hit.name)
    for change in folded.changes.values():
        if change.origin:
            for column, kind in SESSION_TERMS.items():
                wanted[change.visit.website_id, kind].add(getattr(change.origin, column))
    return wanted


def _time(ms: str) -> str:
    """The time that a column of milliseconds since 1970 stands for, exactly."""
    return f"timestamptz 'epoch' + {ms} * interval '1 millisecond'"


async def _insert_events(db: AsyncDriver, named: Named, folded: Folded) -> None:
    if not folded.events:
        return
    of, hits = named.of, [hit for hit, _ in folded.events]
    visits = [visit for _, visit in folded.events]
    await db.execute(
        "INSERT INTO events (id, at, session_id, visitor, website_id, path, name, title, kind, interactive, currency, "
        f"value, properties) SELECT id, {_time('ms')}, session_id, visitor, website_id, path, name, title, kind, "
        "interactive, currency, value, properties FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], "
        "%s::int[], %s::int[], %s::int[], %s::int[], %s::smallint[], %s::boolean[], %s::text[], %s::numeric[], "
        "%s::jsonb[]) AS n (id, ms, session_id, visitor, website_id, path, name, title, kind, interactive, currency, "
        "value, properties)",
        (
            numbers(hit.event_id for hit in hits),
            numbers(hit.at_ms for hit in hits),
            numbers(visit.id for visit in visits),
            numbers(visit.visitor for visit in visits),
            numbers(hit.website_id for hit in hits),
            numbers(of(hit.website_id, TermKind.PATH, hit.path) for hit in hits),
            numbers(of(hit.website_id, TermKind.EVENT_NAME, hit.name) for hit in hits),
            numbers(of(hit.website_id, TermKind.TITLE, hit.title) for hit in hits),
            numbers(hit.kind for hit in hits),
            truths(hit.interactive for hit in hits),
            texts(hit.currency for hit in hits),
            texts(hit.value for hit in hits),
            texts(_json.encode(hit.properties).decode() if hit.properties else None for hit in hits),
        ),
    )


def _dimensions(named: Named, visit: Visit, origin: Hit) -> list[int | None]:
    return [named.of(visit.website_id, kind, getattr(origin, column)) for column, kind in SESSION_TERMS.items()]


def _path(named: Named, visit: Visit, path: str | None) -> int | None:
    return named.of(visit.website_id, TermKind.PATH, path) if path else None


async def _insert_sessions(db: AsyncDriver, named: Named, opened: Sequence[Change]) -> None:
    if not opened:
        return
    visits = [change.visit for change in opened]
    dimensions = [_dimensions(named, change.visit, origin) for change in opened if (origin := change.origin)]
    terms = ", ".join(SESSION_TERMS)
    await db.execute(
        "INSERT INTO sessions (id, started_at, last_at, visitor, website_id, duration_s, pageviews, events, engaged_s, "
        f"is_bounce, entry_path, exit_path, {terms}) SELECT id, {_time('began')}, {_time('ended')}, visitor, "
        f"website_id, duration_s, pageviews, events, engaged_s, is_bounce, entry_path, exit_path, {terms} "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::int[], "
        f"%s::int[], %s::int[], %s::boolean[], %s::int[], %s::int[]{', %s::int[]' * len(SESSION_TERMS)}) "
        "AS n (id, began, ended, visitor, website_id, duration_s, pageviews, events, engaged_s, is_bounce, "
        f"entry_path, exit_path, {terms})",
        (
            numbers(visit.id for visit in visits),
            numbers(visit.started_ms for visit in visits),
            numbers(visit.last_ms for visit in visits),
            numbers(visit.visitor for visit in visits),
            numbers(visit.website_id for visit in visits),
            numbers(visit.duration_s for visit in visits),
            numbers(visit.pageviews for visit in visits),
            numbers(visit.events for visit in visits),
            numbers(visit.engaged_s for visit in visits),
            truths(visit.counted_bounce for visit in visits),
            numbers(_path(named, change.visit, change.entry_path) for change in opened),
            numbers(_path(named, change.visit, change.exit_path) for change in opened),
            *(numbers(column) for column in zip(*dimensions, strict=True)),
        ),
    )


async def _update_sessions(db: AsyncDriver, named: Named, changed: Sequence[Change]) -> None:
    """Write the counts of sessions that went on; where a late hit came first, its dimensions too."""
    if not changed:
        return
    visits = [change.visit for change in changed]
    await db.execute(
        "UPDATE sessions s SET started_at = n.started_at, last_at = n.last_at, duration_s = n.duration_s, "
        "pageviews = n.pageviews, events = n.events, engaged_s = n.engaged_s, is_bounce = n.is_bounce, "
        "entry_path = coalesce(n.entry_path, s.entry_path), exit_path = coalesce(n.exit_path, s.exit_path) "
        f"FROM (SELECT id, {_time('was')} AS was_started_at, {_time('began')} AS started_at, "
        f"{_time('ended')} AS last_at, "
        "duration_s, pageviews, events, engaged_s, is_bounce, entry_path, exit_path "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::int[], "
        "%s::int[], %s::int[], %s::boolean[], %s::int[], %s::int[]) AS a (id, was, began, ended, "
        "duration_s, pageviews, events, engaged_s, is_bounce, entry_path, exit_path)) AS n "
        "WHERE s.id = n.id AND s.started_at = n.was_started_at",
        (
            numbers(visit.id for visit in visits),
            numbers(change.was_started_ms for change in changed),
            numbers(visit.started_ms for visit in visits),
            numbers(visit.last_ms for visit in visits),
            numbers(visit.duration_s for visit in visits),
            numbers(visit.pageviews for visit in visits),
            numbers(visit.events for visit in visits),
            numbers(visit.engaged_s for visit in visits),
            truths(visit.counted_bounce for visit in visits),
            numbers(_path(named, change.visit, change.entry_path) for change in changed),
            numbers(_path(named, change.visit, change.exit_path) for change in changed),
        ),
    )
    for change in changed:
        if change.origin is not None:
            columns = ", ".join(f"{column} = %s" for column in SESSION_TERMS)
            await db.execute(
                f"UPDATE sessions SET {columns} WHERE id = %s AND started_at = %s",
                (*_dimensions(named, change.visit, change.origin), change.visit.id, instant(change.visit.started_ms)),
            )


async def _update_engagement(db: AsyncDriver, engagement: Mapping[int, View]) -> None:
    if not engagement:
        return
    views = [engagement[event_id] for event_id in sorted(engagement)]
    await db.execute(
        "UPDATE events e SET time_on_page_s = n.time_s, scroll_depth = n.scroll "
        f"FROM (SELECT id, {_time('ms')} AS at, time_s, scroll "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::smallint[]) AS a (id, ms, time_s, scroll)) AS n "
        "WHERE e.id = n.id AND e.at = n.at",
        (
            numbers(view.event_id for view in views),
            numbers(view.at_ms for view in views),
            numbers(view.time_s for view in views),
            numbers(view.scroll for view in views),
        ),
    )


async def _add_to_rollups(db: AsyncDriver, partition: int, folded: Folded) -> None:
    added = rollup_of(folded)
    if not added:
        return
    keys = sorted(added)
    columns = ("pageviews", "events", "sessions", "bounces", "duration_s", "session_pageviews")
    sums = ", ".join(f"{column} = r.{column} + excluded.{column}" for column in columns)
    await db.execute(
        f"INSERT INTO traffic_rollups AS r (website_id, bucket, partition, {', '.join(columns)}) "
        f"SELECT w, {_time('b')}, %s, p, e, s, bo, d, sp "
        "FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[], "
        "%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) AS n (w, b, p, e, s, bo, d, sp) "
        f"ON CONFLICT (website_id, bucket, partition) DO UPDATE SET {sums}",
        (
            partition,
            numbers(website_id for website_id, _ in keys),
            numbers(bucket_ms for _, bucket_ms in keys),
            *(numbers(added[key][column] for key in keys) for column in columns),
        ),
    )


async def _save_states(db: AsyncDriver, folded: Folded, partition_of: Callable[[str], int]) -> dict[str, Held]:
    if not folded.states:
        return {}
    version = new_version()
    saved = {key: Held(version, encode_state(folded.states[key])) for key in sorted(folded.states)}
    await db.execute(
        "INSERT INTO session_states (key, version, partition, first_at, last_at, state) "
        f"SELECT k, %s, p, {_time('f')}, {_time('l')}, s "
        "FROM unnest(%s::uuid[], %s::int[], %s::bigint[], %s::bigint[], %s::bytea[]) AS n (k, p, f, l, s) "
        "ON CONFLICT (key) DO UPDATE SET version = excluded.version, first_at = excluded.first_at, "
        "last_at = excluded.last_at, state = excluded.state",
        (
            version,
            hexes(saved),
            numbers(partition_of(key) for key in saved),
            numbers(folded.states[key].first_ms for key in saved),
            numbers(folded.states[key].seen_ms for key in saved),
            binaries(held.state for held in saved.values()),
        ),
    )
    return saved
