"""Histories of hits made by chance: whoever gives the same `rng` gets the same one."""

import random

from analytics_app.records import Heartbeat, Hit, Leave
from tests.factories import NOON_MS, VISITOR

TIMEOUT_MS = 1_800_000
CAP_MS = 86_400_000
KEYS = ("a1" * 16, "b2" * 16)
WEBSITES = (7, 8)


# One session, in an order in which nothing arrives further than the timeout from the session so far.


def a_session(rng: random.Random, size: int) -> list:
    """Hits, heartbeats and leaves of one session, in such an order."""
    lo = hi = NOON_MS
    made = []
    for number in range(size):
        low, high = max(lo - TIMEOUT_MS, hi - CAP_MS), min(hi + TIMEOUT_MS, lo + CAP_MS)
        at = rng.choice([low, high, hi, rng.randint(low, high), rng.randint(lo, hi)])
        views = [one for one in made if isinstance(one, Hit) and one.kind == 1]
        kind = rng.random() if made else 0
        if kind < 0.5 or (kind < 0.8 and not views):
            made.append(a_hit(rng, number, at if made else NOON_MS))
            lo, hi = min(lo, made[-1].at_ms), max(hi, made[-1].at_ms)
        elif kind < 0.8:
            made.append(a_heartbeat(rng, rng.choice(views).event_id, at))
            hi = max(hi, at)
        else:
            made.append(Leave(at_ms=at, session_key=KEYS[0], website_id=rng.choice([0, 7])))
            hi = max(hi, at)
    return made


def a_hit(rng, number, at, **fields):
    kind = rng.choice([1, 1, 1, 2, 4])
    given_ = {
        "event_id": 10_000 + number,
        "at_ms": at,
        "website_id": 7,
        "session_key": KEYS[0],
        "visitor": VISITOR,
        "kind": kind,
        "interactive": rng.random() < 0.7,
        "client_id": f"{number:032x}",
        "path": f"/{rng.randint(1, 4)}" if kind == 1 else "",
        "source": rng.choice(["Direct", "Google", "Bing"]),
        "country": rng.choice(["", "GB", "NP"]),
    }
    return Hit(**{**given_, **fields})


def a_heartbeat(rng, event_id, at, **fields):
    given_ = {
        "event_id": event_id,
        "at_ms": at,
        "session_key": KEYS[0],
        "website_id": rng.choice([0, 7]),
        "time_on_page_s": rng.choice([0, 3, 9, 10, rng.randint(0, 3000)]),
        "scroll_depth": rng.randint(0, 100),
    }
    return Heartbeat(**{**given_, **fields})


def another_order(rng, hits):
    """The same in another order of that sort; None where the way taken leads to none."""
    rest = list(hits)
    first = rng.choice([one for one in rest if isinstance(one, Hit)])
    rest.remove(first)
    ordered, lo, hi = [first], first.at_ms, first.at_ms
    while rest:
        known = {one.event_id for one in ordered if isinstance(one, Hit)}
        admissible = [
            one
            for one in rest
            if lo - TIMEOUT_MS <= one.at_ms <= hi + TIMEOUT_MS
            and (not isinstance(one, Heartbeat) or one.event_id in known)
        ]
        if not admissible:
            return None
        taken = rng.choice(admissible)
        rest.remove(taken)
        ordered.append(taken)
        lo = min(lo, taken.at_ms) if isinstance(taken, Hit) else lo
        hi = max(hi, taken.at_ms)
    return ordered


def with_repeats(rng, hits):
    """The same with some of it sent again, later: by clients under new ids, by networks as it was."""
    sent = list(hits)
    aliases = {}
    for number in range(rng.randint(1, 8)):
        index = rng.randrange(len(hits))
        original = hits[index]
        after = rng.randint(sent.index(original) + 1, len(sent))
        if isinstance(original, Hit):
            again = a_hit(rng, 5000 + number, NOON_MS + rng.randint(-CAP_MS, CAP_MS), client_id=original.client_id)
            aliases[again.event_id] = original.event_id
            sent.insert(after, again)
        else:
            sent.insert(after, original)
    return sent, aliases


def cut(rng, hits):
    return [rng.randint(1, len(hits)) for _ in range(rng.randint(0, 6))]


# Any history at all: several session ids and websites, gaps, days, hits that come days late, websites that go.


def a_history(rng: random.Random, size: int) -> list:
    made: list = []
    for number in range(size):
        key, website_id = rng.choice(KEYS), rng.choice(WEBSITES)
        span = rng.choice([60_000, TIMEOUT_MS, 2 * TIMEOUT_MS, CAP_MS, 4 * CAP_MS])
        around = rng.choice([0, *(one.at_ms - NOON_MS for one in made[-3:])])
        at = NOON_MS + around + rng.choice([0, TIMEOUT_MS, TIMEOUT_MS + 1, rng.randint(-span, span)])
        kind = rng.random()
        if kind < 0.55:
            sent = a_hit(rng, number, at, session_key=key, website_id=website_id)
            if rng.random() < 0.2:
                sent = a_hit(rng, number, at, session_key=key, client_id=f"{rng.randint(0, size):032x}")
            made.append(sent)
        elif kind < 0.85:
            ids = [one.event_id for one in made if isinstance(one, Hit)] or [1]
            made.append(
                a_heartbeat(
                    rng, rng.choice(ids), at, session_key=rng.choice(KEYS), website_id=rng.choice([0, *WEBSITES])
                )
            )
        else:
            made.append(Leave(at_ms=at, session_key=key, website_id=rng.choice([0, *WEBSITES])))
    return made
