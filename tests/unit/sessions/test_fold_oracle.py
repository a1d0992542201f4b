"""The fold against sessions found another way: by reading a history in order, as its definition is written."""

import random

import pytest

from analytics_app.records import Heartbeat, Hit, Leave
from analytics_app.sessions.state import Rules
from tests.factories import NOON_MS
from tests.ledger import Ledger

CAP_MS = 86_400_000
WEBSITES = (7, 8)
HISTORIES = 1500


def sessions_in_order(history, timeout_ms):
    """The sessions of one session id whose activity comes in order of time: plain lists, nothing kept but them."""
    sessions = []

    def goes_on(session, at):
        return at - session["last"] <= timeout_ms and at - session["start"] <= CAP_MS

    for one in history:
        if isinstance(one, Hit):
            own = [s for s in sessions if s["website"] == one.website_id]
            if not own or not goes_on(own[-1], one.at_ms):
                own = [{"website": one.website_id, "start": one.at_ms, "hits": [], "seconds": {}}]
                sessions += own
            own[-1]["last"] = one.at_ms
            own[-1]["hits"].append(one)
        elif isinstance(one, Heartbeat):
            for session in sessions:
                if one.event_id in [hit.event_id for hit in session["hits"] if hit.kind == 1]:
                    told = session["seconds"].setdefault(one.event_id, [])
                    told.append(one.time_on_page_s)
                    if goes_on(session, one.at_ms):
                        session["last"] = one.at_ms
        else:
            live = [s for s in sessions if one.website_id in (0, s["website"]) and goes_on(s, one.at_ms)]
            if live:
                max(live, key=lambda session: session["last"])["last"] = one.at_ms
    return sorted(
        (
            s["website"],
            s["start"],
            s["last"],
            len([hit for hit in s["hits"] if hit.kind == 1]),
            len([hit for hit in s["hits"] if hit.kind != 1]),
            sum(max(told) for told in s["seconds"].values()),
            is_glance(s),
        )
        for s in sessions
    )


def is_glance(session):
    pages = [hit for hit in session["hits"] if hit.kind == 1]
    deeds = [hit for hit in session["hits"] if hit.kind != 1 and hit.interactive]
    return len(pages) < 2 and not deeds and sum(max(told) for told in session["seconds"].values()) < 10


def folded(history, timeout_ms, cuts):
    ledger = Ledger(lambda _: Rules(timeout_ms=timeout_ms)).batches(history, cuts)
    ledger.check()
    return sorted(
        (row.website_id, row.started_ms, row.last_ms, row.pageviews, row.events, row.engaged_s, row.is_bounce)
        for row in ledger.sessions.values()
    )


def history_of(rng, timeout_ms):
    """Up to 40 hits, heartbeats and leaves of one session id on two websites, in order of time, no two at once."""
    at, made, views = NOON_MS, [], []
    key = f"{rng.getrandbits(128):032x}"
    websites = WEBSITES if rng.random() < 0.4 else WEBSITES[:1]
    for number in range(rng.randint(1, 40)):
        at += rng.choice(
            [1, rng.randint(1, 60_000), rng.randint(1, timeout_ms), timeout_ms - 1, timeout_ms, timeout_ms + 1]
        )
        kind = rng.random()
        if kind < 0.6 or not views:
            event_kind = rng.choice([1, 1, 1, 2])
            made.append(
                Hit(
                    event_id=number + 1,
                    at_ms=at,
                    website_id=rng.choice(websites),
                    session_key=key,
                    visitor="0f" * 16,
                    kind=event_kind,
                    interactive=rng.random() < 0.5,
                    path="/" if event_kind == 1 else "",
                )
            )
            views += [made[-1]] if event_kind == 1 else []
        elif kind < 0.9:
            view = rng.choice(views[-3:])
            made.append(
                Heartbeat(
                    event_id=view.event_id,
                    at_ms=at,
                    session_key=key,
                    website_id=rng.choice([0, view.website_id]),
                    time_on_page_s=rng.randint(0, 20),
                )
            )
        else:
            made.append(Leave(at_ms=at, session_key=key, website_id=rng.choice([0, *websites])))
    return made


@pytest.mark.parametrize("timeout_ms", [60_000, 1_800_000, 14_400_000])
def test_histories_in_order_give_the_sessions_that_their_definition_gives(timeout_ms):
    rng = random.Random(timeout_ms)
    lengths = set()
    for _ in range(HISTORIES):
        history = history_of(rng, timeout_ms)
        expected = sessions_in_order(history, timeout_ms)
        cuts = [rng.randint(1, len(history)) for _ in range(rng.randint(0, 3))]
        assert folded(history, timeout_ms, cuts) == expected
        lengths.add(len(expected))
    assert len(lengths) > 5, "the histories are of many kinds"
