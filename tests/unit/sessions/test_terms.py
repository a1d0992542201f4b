"""The numbers of texts that a process remembers: bounded, and never taken from a batch that asked for them."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.sessions import terms
from analytics_app.sessions.kinds import TermKind
from analytics_app.sessions.terms import Numbers

PATH, TITLE = TermKind.PATH, TermKind.TITLE


def some(website_id, count, kind=PATH):
    return {(website_id, kind, f"/{n}"): website_id * 1000 + n for n in range(count)}


def known(numbers, website_id, kind=PATH):
    return numbers.of_kinds([(website_id, kind)])[website_id, kind]


def test_the_website_longest_unheard_of_is_forgotten_first():
    numbers = Numbers(most=10)
    numbers.learn(some(1, 4))
    numbers.learn(some(2, 4))
    assert known(numbers, 1)
    numbers.learn(some(3, 4))
    assert (len(known(numbers, 1)), len(known(numbers, 2)), len(known(numbers, 3))) == (4, 0, 4)
    assert len(numbers) == 8


def test_numbers_of_terms_that_were_removed_since_are_forgotten():
    numbers = Numbers(most=10)
    numbers.learn(some(1, 2) | some(1, 3, TITLE) | some(2, 1))
    numbers.keep_to(1, 7)
    assert not known(numbers, 1)
    assert not known(numbers, 1, TITLE)
    assert len(numbers) == 1
    numbers.learn(some(1, 2))
    numbers.keep_to(1, 7)
    assert len(numbers) == 3


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 12)), max_size=30))
def test_never_more_are_kept_than_may_be_but_for_those_just_learnt(lessons):
    numbers = Numbers(most=10)
    for website_id, count in lessons:
        numbers.learn(some(website_id, count))
        held = sum(len(known(numbers, one)) for one in range(1, 6))
        assert len(numbers) == held <= max(10, count)
        assert known(numbers, website_id) == {text: n for (_, _, text), n in some(website_id, count).items()} or (
            len(known(numbers, website_id)) >= count
        )


@pytest.fixture
def asking(monkeypatch):
    """A process with numbers of its own, and a database in whose place `found` answers."""

    async def no_versions(db, websites):
        return []

    @asynccontextmanager
    async def transaction():
        yield None

    def asked_by(numbers, found):
        monkeypatch.setattr(terms, "NUMBERS", numbers)
        monkeypatch.setattr(terms, "_versions", no_versions)
        monkeypatch.setattr(terms, "_numbers_in", found)
        monkeypatch.setattr(terms, "batch_transaction", transaction)

    return asked_by


async def test_a_batch_keeps_its_numbers_when_others_make_the_process_forget_them(asking):
    numbers = Numbers(most=3)
    numbers.learn({(1, PATH, "/held"): 5})

    async def found(db, wanted):
        numbers.learn(some(2, 3))  # another batch, meanwhile
        return dict.fromkeys(wanted, 6)

    asking(numbers, found)
    named = await terms.number_terms(None, {(1, PATH): {"/held", "/new", ""}})
    assert named.of(1, PATH, "/held") == 5
    assert named.of(1, PATH, "/new") == 6
    assert named.of(1, PATH, "") is None


async def test_batches_side_by_side_ask_once_for_what_all_of_them_miss(asking):
    asked = []

    async def found(db, wanted):
        asked.append([text for _, _, text in wanted])
        await asyncio.sleep(0)  # the others come meanwhile
        return dict.fromkeys(wanted, 6)

    asking(Numbers(most=10), found)
    batches = [{"/all"}, {"/all", "/own"}, {"/all"}]
    named = await asyncio.gather(*(terms.number_terms(None, {(1, PATH): texts}) for texts in batches))
    assert asked == [["/all"], ["/own"]]
    assert [one.of(1, PATH, "/all") for one in named] == [6, 6, 6]
