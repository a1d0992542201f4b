"""Who must not come back, and until when."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from analytics_app.gdpr.logic import Erasure, forgotten_at, left_out, nameless
from analytics_app.records import Detection, Recorded
from tests.factories import VISITOR, WEBSITE, at_ms, make_heartbeat, make_hit

OTHER = "0a" * 16


def test_what_was_sent_before_an_erasure_is_left_out_and_what_comes_later_is_somebody_new():
    hits = [make_hit(0), make_hit(10), make_hit(11), make_hit(5, visitor=OTHER), make_hit(5, website_id=WEBSITE + 1)]
    assert left_out(hits, [Erasure(WEBSITE, VISITOR, at_ms(10))]) == {0: "erased", 1: "erased"}


def test_a_heartbeat_names_no_visitor_and_is_not_asked():
    assert left_out([make_heartbeat(0, of=1)], [Erasure(WEBSITE, VISITOR, at_ms(10))]) == {}


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=20), st.integers(0, 20))
def test_exactly_the_erased_visitors_earlier_hits_are_left_out(made, erased_at):
    hits = [make_hit(at, visitor=VISITOR if theirs else OTHER) for at, theirs in made]
    found = left_out(hits, [Erasure(WEBSITE, VISITOR, at_ms(erased_at))])
    assert set(found) == {place for place, (at, theirs) in enumerate(made) if theirs and at <= erased_at}


def test_what_was_sent_before_an_anonymisation_is_one_visitor_s_and_nobody_s():
    hits = [make_hit(0), make_hit(9), make_hit(11), make_hit(5, visitor=OTHER), make_heartbeat(5, of=1)]
    names = iter(["1" * 32, "2" * 32])
    erasures = [Erasure(WEBSITE, VISITOR, at_ms(10), "anonymise")]
    found = nameless(hits, erasures, lambda: next(names))
    assert left_out(hits, erasures) == {}
    assert found[2:] == hits[2:]
    assert (found[0].visitor, found[0].session_key) == (found[1].visitor, found[1].session_key)
    assert {found[0].visitor, found[0].session_key} == {"1" * 32, "2" * 32}
    assert found[0].path == hits[0].path


def test_a_detection_of_an_anonymised_visitor_names_nobody():
    one = Detection(
        event_id=1, at_ms=at_ms(0), website_id=WEBSITE, action=2, score=60, visitor=VISITOR, sender="a" * 16
    )
    (found,) = nameless([one], [Erasure(WEBSITE, VISITOR, at_ms(10), "anonymise")], str)
    assert (found.visitor, found.sender, found.score) == (None, "", 60)


def test_a_recording_of_an_anonymised_visitor_is_left_out_whenever_it_was_erased_before():
    chunks = [
        Recorded(at_ms=at_ms(at), website_id=WEBSITE, session_key="a" * 32, visitor=VISITOR, sequence=at, packed=b"[]")
        for at in (9, 11)
    ]
    erasures = [Erasure(WEBSITE, VISITOR, 0), Erasure(WEBSITE, VISITOR, at_ms(10), "anonymise")]
    assert left_out(chunks, erasures) == {0: "erased"}


def test_topics_have_forgotten_once_retention_and_segment_are_over_and_tables_are_swept_and_compacted():
    now = datetime(2026, 3, 30, tzinfo=UTC)
    hour, looks = 3_600_000, timedelta(minutes=10)
    assert forgotten_at(now, [{"cleanup.policy": "compact"}]) == now + timedelta(hours=28) + looks
    kept = {"retention.ms": str(100 * hour), "segment.ms": str(6 * hour)}
    assert forgotten_at(now, [kept, {"cleanup.policy": "compact"}]) == now + timedelta(hours=106) + looks
    assert forgotten_at(now, [{"retention.ms": "0"}]) == now + timedelta(days=7) + looks
