"""Conversions of batches, merged, are those of all rows: by an oracle that knows nothing of batches."""

import random
from collections import defaultdict
from itertools import pairwise

import pytest

from analytics_app.goals.goal import Goal
from analytics_app.goals.live import found_in
from analytics_app.goals.logic import GoalSet, earliest, of_pages
from analytics_app.records import Hit
from tests.factories import make_hit
from tests.histories import a_history, a_session, cut, with_repeats
from tests.ledger import Ledger

GOALS = [
    Goal(1, 1, "pageview", "/1", "equals"),
    Goal(2, 1, "pageview", "/", "starts_with", every=True),
    Goal(3, 1, "pageview", "[13]$", "regex"),
    Goal(4, 1, "event", "buy", "equals", every=True),
    Goal(5, 1, "event", "u", "contains"),
    Goal(6, 1, "duration", "1"),
    Goal(7, 1, "duration", "1800"),
    Goal(8, 1, "pages_per_session", "1"),
    Goal(9, 1, "pages_per_session", "3"),
    Goal(10, 1, "pages_per_session", "70"),
]
ASKED = {1: lambda p: p == "/1", 2: lambda p: True, 3: lambda p: p[-1] in "13"}
NAMED = {4: lambda n: n == "buy", 5: lambda n: "u" in n}


class Book:
    """A ledger that keeps what batches converted, as the rows would."""

    def __init__(self):
        self.ledger, self.kept, self.goals, self.rewritten = Ledger(), {}, GoalSet(GOALS), 0

    def batch(self, hits):
        folded = self.ledger.batch(hits)
        found = found_in(folded, lambda website_id: self.goals)
        for wanted in found.wanted:
            views = sorted(
                (row.hit.at_ms, row.hit.event_id)
                for row in self.ledger.events.values()
                if row.session_id == wanted.who.session_id and row.hit.kind == 1
            )
            found.conversions.append(of_pages(wanted.who, wanted.goal, views[wanted.goal.threshold - 1]))
        for one in earliest(found.conversions):
            moment = (one.at_ms, one.event_id)
            before = self.kept.get((one.session_id, one.goal_id, one.key))
            self.rewritten += before == moment
            self.kept[one.session_id, one.goal_id, one.key] = min(moment, before or moment)


def recounted(ledger):
    """By what the words mean, from all rows at once."""
    found, of = {}, defaultdict(list)
    for row in ledger.events.values():
        of[row.session_id].append((row.hit.at_ms, row.hit.event_id, row.hit))
    for session_id, rows in of.items():
        session = ledger.sessions[session_id]
        rows.sort(key=lambda row: row[:2])
        views = [row for row in rows if row[2].kind == 1]
        for goal in GOALS:
            if goal.type == "duration":
                at = session.started_ms + 1000 * goal.threshold
                if session.last_ms >= at:
                    found[session_id, goal.id, 0] = (at, 0)
            elif goal.type == "pages_per_session":
                if len(views) >= goal.threshold:
                    found[session_id, goal.id, 0] = views[goal.threshold - 1][:2]
            else:
                meets = ASKED.get(goal.id) or NAMED[goal.id]
                text = [(row, row[2].path if goal.id in ASKED else row[2].name) for row in rows]
                met = [row for row, said in text if (row[2].kind == 1) == (goal.id in ASKED) and said and meets(said)]
                for row in met if goal.every else met[:1]:
                    found[session_id, goal.id, row[1] if goal.every else 0] = row[:2]
    return found


def named(rng, hits):
    return [
        one
        if not isinstance(one, Hit) or one.kind == 1
        else type(one)(**{f: getattr(one, f) for f in one.__struct_fields__} | {"name": rng.choice(["buy", "out", ""])})
        for one in hits
    ]


@pytest.mark.parametrize("seed", range(150))
def test_the_conversions_of_batches_are_those_of_a_recount(seed):
    rng = random.Random(seed)
    hits = a_history(rng, rng.randint(1, 120)) if seed % 2 else a_session(rng, rng.choice([5, 40, 250]))
    if seed % 5 == 0:
        hits, _ = with_repeats(rng, hits)
    hits = named(rng, hits)
    book = Book()
    bounds = [0, *sorted(cut(rng, hits)), len(hits)]
    for first, last in pairwise(bounds):
        book.batch(hits[first:last])
    assert book.kept == recounted(book.ledger)


def test_a_threshold_that_was_passed_is_not_found_again_by_each_further_hit():
    book = Book()
    book.goals = GoalSet([goal for goal in GOALS if goal.id >= 6])
    for number in range(100):
        book.batch([make_hit(30 * number)])
    assert len(book.kept) == 5
    assert book.rewritten == 0
