import re
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.intake.privacy import (
    SETTLE_S,
    Ids,
    cookieless_ids,
    cookieless_session,
    cookieless_visitor,
    opted_out,
    salt_day,
    session_key,
    visitor_hash,
)

SECRET = b"0123456789abcdef"
MONDAY, TUESDAY = b"salt of monday", b"salt of tuesday"
ANYTHING = st.text(alphabet=st.characters(exclude_categories=()))
VISITOR = (7, "198.51.100.7", "Mozilla/5.0")


def ids(today, yesterday=None, running=frozenset(), visitor=VISITOR):
    return cookieless_ids(today, yesterday, *visitor, secret=SECRET, running=running)


@given(ANYTHING)
def test_any_text_is_a_visitor_and_a_session_id(text):
    assert re.fullmatch("[0-9a-f]{32}", visitor_hash(SECRET, 1, text))
    assert re.fullmatch("[0-9a-f]{32}", session_key(SECRET, text))
    assert text not in {visitor_hash(SECRET, 1, text), session_key(SECRET, text)}


def test_a_visitor_is_another_on_every_website_and_under_every_secret():
    assert visitor_hash(SECRET, 1, "jane") == visitor_hash(SECRET, 1, "jane")
    assert (
        len({visitor_hash(key, site, who) for key in (SECRET, b"other") for site in (1, 2) for who in ("jane", "joe")})
        == 8
    )


def test_the_same_id_as_visitor_and_as_session_is_not_the_same_number():
    assert visitor_hash(SECRET, 0, "x") != session_key(SECRET, "x")


def test_a_long_secret_counts_whole():
    assert visitor_hash(b"k" * 64 + b"1", 1, "jane") != visitor_hash(b"k" * 64 + b"2", 1, "jane")


def test_without_a_secret_nothing_is_hashed():
    with pytest.raises(ValueError, match="secret"):
        visitor_hash(b"", 1, "jane")


def test_the_hash_of_a_visitor_does_not_change_between_versions():
    assert visitor_hash(SECRET, 42, "visitor-uuid") == "aa00d7385c5a4a69c348bfbcb66622d4"
    assert session_key(SECRET, "session-uuid") == "69a4c8853ff4a3d87c3ca5a0f25a6e58"


def test_a_cookieless_visitor_has_ids_shaped_like_uuids():
    for text in ids(MONDAY):
        assert str(UUID(text)) == text
        assert UUID(text).version == 8


def test_a_cookieless_visitor_is_the_same_all_day_and_another_tomorrow():
    assert ids(MONDAY) == ids(MONDAY)
    assert not set(ids(MONDAY)) & set(ids(TUESDAY))


@pytest.mark.parametrize("other", [(8, *VISITOR[1:]), (7, "198.51.100.8", VISITOR[2]), (7, VISITOR[1], "Opera")])
def test_another_website_address_or_user_agent_is_another_visitor(other):
    assert not set(ids(MONDAY)) & set(ids(MONDAY, visitor=other))


def test_address_and_user_agent_cannot_be_shifted_into_each_other():
    assert cookieless_visitor(MONDAY, 1, "1.1.1.1", "2x") != cookieless_visitor(MONDAY, 1, "1.1.1.12", "x")


def test_the_session_follows_from_the_visitor():
    visitor = cookieless_visitor(MONDAY, *VISITOR)
    assert ids(MONDAY) == Ids(visitor, cookieless_session(MONDAY, 7, visitor))


def test_a_session_that_runs_over_midnight_keeps_its_ids_and_no_other_visitor_does():
    before = ids(MONDAY)
    running = {session_key(SECRET, before.session_id)}
    assert ids(TUESDAY, MONDAY, running) == before
    somebody_else = (7, "198.51.100.8", "Mozilla/5.0")
    assert ids(TUESDAY, MONDAY, running, somebody_else) == ids(TUESDAY, visitor=somebody_else)


def test_a_session_that_ended_before_midnight_is_not_gone_on_with():
    assert ids(TUESDAY, MONDAY, {"another session"}) == ids(TUESDAY)
    assert ids(TUESDAY, None, {session_key(SECRET, ids(MONDAY).session_id)}) == ids(TUESDAY)


def test_the_salt_changes_a_few_seconds_after_midnight_in_utc():
    midnight = datetime(2026, 3, 2, tzinfo=UTC)

    def day(seconds):
        return salt_day(int((midnight + timedelta(seconds=seconds)).timestamp() * 1000))

    assert day(-1) == day(0) == day(SETTLE_S - 1) == date(2026, 3, 1)
    assert day(SETTLE_S) == day(3600) == date(2026, 3, 2)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, None),
        ({"Sec-GPC": "1"}, "gpc"),
        ({"DNT": "1"}, "dnt"),
        ({"Sec-GPC": "1", "DNT": "1"}, "gpc"),
        ({"Sec-GPC": "0", "DNT": "0"}, None),
        ({"DNT": "unspecified"}, None),
    ],
)
def test_visitors_who_say_so_are_not_counted(headers, reason):
    assert opted_out(headers) == reason
    assert opted_out(headers, honour=False) is None
