"""Journal against database: what is missing, what is there twice, what nobody sent, what was added up wrongly."""

import asyncio
import time
from collections import Counter, defaultdict
from typing import Any

from tests.faults import conversions
from tests.faults.load import Journal
from tests.faults.rig import Rig

WINDOW_S = 300
SHOWN = 12

_EVENTS = """
SELECT replace(c.id::text, '-', ''), e.id, e.website_id, e.session_id, e.visitor, coalesce(p.text, ''),
    coalesce(n.text, ''), e.kind, e.time_on_page_s, e.scroll_depth
FROM events e LEFT JOIN client_ids c ON c.event_id = e.id AND c.website_id = e.website_id
    LEFT JOIN terms p ON p.id = e.path LEFT JOIN terms n ON n.id = e.name
WHERE e.website_id = ANY(%s)
"""
_SESSIONS = "SELECT id, website_id, visitor, pageviews, events, engaged_s FROM sessions WHERE website_id = ANY(%s)"


async def differences(rig: Rig, journal: Journal, website_ids: list[int], *, times: bool = True) -> list[str]:
    """Everything in which the rows of the websites differ from what was sent; empty where they agree.

    `times`: the clocks of who took the hits are right.
    """
    events = await rig.query(_EVENTS, website_ids)
    claimed = dict(
        await rig.query(
            "SELECT replace(id::text, '-', ''), event_id FROM client_ids WHERE website_id = ANY(%s)", website_ids
        )
    )
    sessions = await rig.query(_SESSIONS, website_ids)
    found = _of_events(journal, events, claimed)
    found += _of_sessions(journal, events, sessions)
    for website_id in website_ids:
        await rig.computed(website_id)
    found += await conversions.differences(rig, journal, website_ids, times=times)
    found += await _of_verify(rig)
    return found


def _of_events(journal: Journal, events: list[tuple[Any, ...]], claimed: dict[str, int]) -> list[str]:
    found = []
    sent = {client_id.replace("-", ""): hit for client_id, hit in journal.hits.items()}
    times = Counter(event[1] for event in events)
    rows = {event[0]: event for event in events}
    found += [f"event {event_id} is there {count} times" for event_id, count in times.items() if count > 1]
    found += [f"event {event[1]} was never sent" for event in events if event[0] not in sent]
    found += [f"{client_id} is claimed and has no row" for client_id in claimed if client_id not in rows]
    missing = [client_id for client_id, hit in sent.items() if hit.event_id is not None and client_id not in rows]
    found += [f"{client_id} was answered ok ({sent[client_id].attempts} tries) and is lost" for client_id in missing]
    beats = dict(journal.beats)
    for client_id, hit in sent.items():
        row = rows.get(client_id)
        if row is None:
            continue
        told = (hit.website_id, hit.path, hit.name, 2 if hit.name else 1)
        stored = (row[2], row[5], row[6], row[7])
        if told != stored:
            found.append(f"{client_id} was sent as {told} and is stored as {stored}")
        beat = beats.get(hit.event_id or 0)
        if beat is not None and not (beat.ok[0] <= row[8] <= beat.sent[0] and beat.ok[1] <= row[9] <= beat.sent[1]):
            found.append(f"engagement of {client_id}: {beat.ok} was acknowledged, {row[8:10]} is stored")
    return found


def _of_sessions(journal: Journal, events: list[tuple[Any, ...]], sessions: list[tuple[Any, ...]]) -> list[str]:
    """Sessions against a count of the journal: one row for each session id, with its own hits and no others."""
    found = []
    rows = {event[0]: event for event in events}
    held: dict[tuple[int, str], set[tuple[int, int]]] = defaultdict(set)
    counts: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    engaged: Counter[tuple[int, str]] = Counter()
    for client_id, hit in journal.hits.items():
        row = rows.get(client_id.replace("-", ""))
        if row is not None:
            session = (hit.website_id, hit.session)
            held[session].add((row[3], row[4]))
            counts[session]["events" if hit.name else "pageviews"] += 1
            engaged[session] += row[8]
    by_id = {session[0]: session for session in sessions}
    for session, ids in held.items():
        if len(ids) != 1:
            found.append(f"session {session} lies in rows {ids}")
            continue
        row = by_id.pop(next(iter(ids))[0], None)
        counted = (counts[session]["pageviews"], counts[session]["events"], engaged[session])
        if row is None or row[3:6] != counted:
            found.append(f"session {session}: {counted} was sent, {row and row[3:6]} is stored")
    return [*found, *(f"session row {left} has no hits" for left in by_id)]


async def _of_verify(rig: Rig) -> list[str]:
    done = await asyncio.to_thread(rig.run, "verify")
    return [] if done.returncode == 0 else ["analytics verify:", *(done.stdout + done.stderr).splitlines()[:SHOWN]]


async def realtime_becomes_right(rig: Rig, journal: Journal, website_id: int, within_s: float, *, pages: bool) -> float:
    """Wait until the live view equals a recount of the journal; returns the seconds it took. Raises AssertionError.

    `pages`: whether each visitor must be on its last page, too.
    """
    began = time.monotonic()
    while True:
        view = await rig.call("GET", f"/analytics/websites/{website_id}/realtime")
        least, most = _active(journal, website_id, time.time())
        viewed = {page["path"]: page["viewers"] for page in view["active_pages"]}
        is_right = least.total() <= view["active_visitors"] <= most.total() and (
            not pages or least != most or viewed == _pages(least)
        )
        if is_right:
            return time.monotonic() - began
        if time.monotonic() - began > within_s:
            more = {
                page: viewed.get(page, 0) - count for page, count in _pages(least).items() if viewed.get(page) != count
            }
            raise AssertionError(
                f"the live view shows {view['active_visitors']} visitors, {least.total()} to {most.total()} are there; "
                f"too many by page: {more}"
            )
        await asyncio.sleep(0.5)


def _active(journal: Journal, website_id: int, now: float) -> tuple[Counter[str], Counter[str]]:
    """Visitors by page who are on the website for certain, and who may be."""
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for (of, _), (at, page) in journal.seen.items():
        if of == website_id and at > now - WINDOW_S - 10:
            most[page] += 1
            least[page] += at > now - WINDOW_S + 10
    return least, most


def _pages(visitors: Counter[str]) -> dict[str, int]:
    return {page: count for page, count in visitors.items() if page and count}


def told(found: list[str], journal: Journal, rig: Rig) -> str:
    """A failure in words."""
    return "\n".join(
        [
            f"{len(found)} differences of {journal.hits_ok} hits:",
            *found[:SHOWN],
            f"answers: {dict(journal.answers.most_common(8))}",
            *rig.told[-20:],
        ]
    )
