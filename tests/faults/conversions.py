"""Goals, funnels and experiments after a story: each counted again from the journal, by plain functions."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tests import funnel_oracle as oracle
from tests.faults.defined import FUNNELS, REACHED, WINDOW_H, Steps, Trial
from tests.faults.load import Journal, Sent, Shown
from tests.faults.rig import Rig

SAME_TIME_S = 2.0
ANSWERED_WITHIN_S = 5.0


class Stored(NamedTuple):
    """A hit of the journal that is stored: its row's id, session, visitor and time."""

    sent: Sent
    event_id: int
    session_id: int
    visitor: int
    at_ms: int


async def differences(rig: Rig, journal: Journal, website_ids: Sequence[int], *, times: bool) -> list[str]:
    """In what goals, funnels and experiments differ from what the journal says; nothing where they agree.

    `times`: the clocks of who took hits are right, so that rows lie in the order in which they were sent.
    """
    found = []
    for website_id in website_ids:
        stored = await _stored(rig, journal, website_id)
        found += await _of_goals(rig, website_id, stored)
        if website_id in rig.trials:
            found += await _of_funnels(rig, website_id, stored)
            found += await _of_experiment(rig, journal, website_id, stored, rig.trials[website_id], times=times)
    return found


async def _stored(rig: Rig, journal: Journal, website_id: int) -> list[Stored]:
    rows = await rig.query(
        "SELECT replace(c.id::text, '-', ''), e.id, e.session_id, e.visitor, (extract(epoch FROM e.at) * 1000)::bigint "
        "FROM events e JOIN client_ids c ON c.event_id = e.id AND c.website_id = e.website_id WHERE e.website_id = %s",
        website_id,
    )
    sent = {client_id.replace("-", ""): hit for client_id, hit in journal.hits.items()}
    return [Stored(sent[client_id], *row) for client_id, *row in rows if client_id in sent]


# Goals: those of `defined.GOALS`, by their names; a duration is counted by `analytics verify`.


async def _of_goals(rig: Rig, website_id: int, stored: Sequence[Stored]) -> list[str]:
    goals = await rig.query("SELECT id, name FROM goals WHERE website_id = %s", website_id)
    rows = await rig.query("SELECT goal_id, session_id, event_id FROM conversions WHERE website_id = %s", website_id)
    held: dict[int, Counter[tuple[int, int]]] = defaultdict(Counter)
    for goal_id, session_id, event_id in rows:
        held[goal_id][session_id, event_id] += 1
    found = [] if goals else ["there is no goal to compare"]
    for goal_id, name in goals:
        wanted = _converting(name, stored)
        if wanted is not None and held[goal_id] != Counter(wanted):
            missing, odd = Counter(wanted) - held[goal_id], held[goal_id] - Counter(wanted)
            found.append(
                f"goal {goal_id} ({name}): {held[goal_id].total()} conversions of {len(wanted)}; missing"
                f" {list(missing)[:3]}, too many {list(odd)[:3]}"
            )
    return found


def _converting(name: str, stored: Sequence[Stored]) -> list[tuple[int, int]] | None:
    """Session and event of each conversion; None for a goal that is counted elsewhere."""
    views = [one for one in stored if not one.sent.name]
    events = [one for one in stored if one.sent.name]
    match name:
        case "every event":
            return [(one.session_id, one.event_id) for one in events]
        case "every view":
            return [(one.session_id, one.event_id) for one in views]
        case "a page":
            return _nth(1, [one for one in views if one.sent.path == "/page/3"])
        case "an event":
            return _nth(1, [one for one in events if "i" in one.sent.name])
        case "pages":
            return _nth(3, views)
    return None


def _nth(place: int, some: Sequence[Stored]) -> list[tuple[int, int]]:
    """Of each session that has so many of them, the one at that place."""
    sessions: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for one in some:
        sessions[one.session_id].append((one.at_ms, one.event_id))
    return [(session, sorted(of)[place - 1][1]) for session, of in sessions.items() if len(of) >= place]


# Funnels: every attempt, by brute force.


def _after_all() -> str:
    """A day that lies after whatever a process may have taken for now."""
    return (datetime.now(UTC) + timedelta(days=3)).date().isoformat()


async def _of_funnels(rig: Rig, website_id: int, stored: Sequence[Stored]) -> list[str]:
    happened: dict[int, list[oracle.Happened]] = defaultdict(list)
    for one in stored:
        sent = one.sent
        kind, text = (2, sent.name) if sent.name else (1, sent.path)
        happened[one.visitor].append(oracle.Happened(one.at_ms, one.event_id, one.session_id, kind, text))
    attempts = [await asyncio.to_thread(_attempts, funnel, happened) for funnel in FUNNELS]
    funnels = await rig.query("SELECT id, is_strict, revision FROM funnels WHERE website_id = %s", website_id)
    found = [] if funnels else ["there is no funnel to compare"]
    for funnel_id, is_strict, revision in funnels:
        wanted = next(some for funnel, some in zip(FUNNELS, attempts, strict=True) if funnel.is_strict == is_strict)
        rows = await rig.query(
            "SELECT visitor, event_id, (extract(epoch FROM started_at) * 1000)::bigint, session_id, offsets_ms, "
            "required, is_open FROM funnel_runs WHERE funnel_id = %s AND revision = %s",
            funnel_id, revision,
        )  # fmt: skip
        there = {
            (visitor, oracle.Attempt(event_id, started_ms, session_id, tuple(offsets_ms), required, is_open))
            for visitor, event_id, started_ms, session_id, offsets_ms, required, is_open in rows
        }
        if len(rows) != len(wanted) or there != wanted:
            found.append(
                f"funnel {funnel_id}: {len(rows)} attempts of {len(wanted)}; missing {list(wanted - there)[:2]},"
                f" too many {list(there - wanted)[:2]}"
            )
        deepest: Counter[int] = Counter()
        for visitor, attempt in wanted:
            deepest[visitor] = max(deepest[visitor], attempt.required)
        required = sum(not step.is_optional for step in FUNNELS[is_strict].steps)
        counted = len(deepest), sum(done == required for done in deepest.values())
        path = f"/analytics/websites/{website_id}/funnels/{funnel_id}/analysis?end_date={_after_all()}"
        summary = (await rig.call("GET", path))["summary"]
        if (told := (summary["total_entrants"], summary["completed"])) != counted:
            found.append(f"funnel {funnel_id}: {told} entered and completed, they were {counted}")
    return found


def _attempts(funnel: Steps, happened: dict[int, list[oracle.Happened]]) -> set[tuple[int, oracle.Attempt]]:
    return {
        (visitor, attempt)
        for visitor, events in happened.items()
        for attempt in oracle.attempts(funnel.steps, funnel.is_strict, WINDOW_H * 3_600_000, events)
    }


# An experiment: who saw what first, and who reached the goal after it.


async def _of_experiment(
    rig: Rig, journal: Journal, website_id: int, stored: Sequence[Stored], trial: Trial, *, times: bool
) -> list[str]:
    rows = {
        visitor: (variant, first_ms / 1000, multiple)
        for visitor, variant, first_ms, multiple in await rig.query(
            "SELECT visitor, variant_id, (extract(epoch FROM first_at) * 1000)::bigint, multiple FROM exposures "
            "WHERE experiment_id = %s",
            trial.id,
        )
    }
    number = {one.sent.visitor: one.visitor for one in stored}
    reached: dict[int, list[float]] = defaultdict(list)
    for one in stored:
        if one.sent.name == REACHED:
            reached[one.visitor].append(one.at_ms / 1000)
    found = []
    converted = {visitor: any(at >= first_at for at in reached[visitor]) for visitor, (_, first_at, _) in rows.items()}
    shown = {number[visitor]: some for (of, visitor), some in journal.shown.items() if of == website_id}
    hits: dict[int, list[Sent]] = defaultdict(list)
    for sent in journal.hits.values():
        if sent.website_id == website_id and sent.name == REACHED and sent.visitor in number:
            hits[number[sent.visitor]].append(sent)
    for visitor, some in shown.items():
        found += [
            f"visitor {visitor}, shown {some}: {what}" for what in _of_shown(some, rows.get(visitor), times=times)
        ]
        if visitor in rows and times:
            least, most = _conversions(some, hits[visitor])
            if not least <= converted[visitor] <= most:
                found.append(f"visitor {visitor}: converted {converted[visitor]}, sent {hits[visitor]} after {some}")
    found += [f"visitor {visitor} was never shown {row}" for visitor, row in rows.items() if visitor not in shown]
    wanted = {
        variant: (
            sum(row[0] == variant and not row[2] for row in rows.values()),
            sum(row[0] == variant and not row[2] and converted[visitor] for visitor, row in rows.items()),
        )
        for variant in trial.variants
    }
    return found + await _of_results(rig, website_id, trial, wanted)


def _of_shown(some: Sequence[Shown], row: tuple[int, float, bool] | None, *, times: bool) -> list[str]:
    """What is wrong with the row of a visitor who was shown that, in that order."""
    told = [one for one in some if one.is_told]
    sure, known = {one.variant for one in told}, {one.variant for one in some if one.variant is not None}
    assigned = {one.variant for one in told if not one.is_own}
    guessed = any(one.variant is None for one in some)  # no answer said which, and it may have been noted all the same
    found = ["was assigned two variants"] if len(assigned) > 1 else []
    if row is None:
        return [*found, "is lost"] if told else found
    variant, first_at, multiple = row
    if variant not in known and not guessed:
        found.append(f"is noted as {row}")
    if len(sure) > 1 and not multiple:
        found.append("saw two, and is not left out")
    if multiple and len(known) + guessed < 2:
        found.append("saw one, and is left out")
    if times and some[0].is_told and variant != some[0].variant:
        found.append(f"saw another first than {variant}")
    latest = min((one.ended for one in told), default=some[-1].ended)
    if times and not some[0].began - SAME_TIME_S <= first_at <= latest + SAME_TIME_S:
        found.append(f"was shown it at {first_at}")
    return found


def _conversions(some: Sequence[Shown], hits: Sequence[Sent]) -> tuple[bool, bool]:
    """Whether a visitor converted for certain, and whether it may have."""
    seen = min((one.ended for one in some if one.is_told), default=float("inf"))
    least = any(hit.event_id is not None and hit.began >= seen for hit in hits)
    most = any(hit.ended >= some[0].began for hit in hits)
    return least, most


async def _of_results(rig: Rig, website_id: int, trial: Trial, wanted: dict[int, tuple[int, int]]) -> list[str]:
    """What the API tells, which may be half a second old."""
    told: dict[int, tuple[int, int]] = {}
    until = asyncio.get_running_loop().time() + ANSWERED_WITHIN_S
    while asyncio.get_running_loop().time() < until:
        answer: Any = await rig.call("GET", f"/analytics/websites/{website_id}/experiments/{trial.id}/results")
        results = answer["analysis"]["results"]
        told = {int(variant): (arm["visitors"], arm["conversions"]) for variant, arm in results.items()}
        if told == wanted:
            return []
        await asyncio.sleep(0.3)
    return [f"experiment {trial.id}: {told} visitors and conversions by variant, they are {wanted}"]
