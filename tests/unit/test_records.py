import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_app.records import (
    HITS,
    Active,
    ActivityRecord,
    Hit,
    encode,
    gather,
    read_activities,
    read_raw_hits,
)
from tests.factories import make_event, make_heartbeat, make_hit, make_leave

texts = st.text(st.characters(codec="utf-8"), max_size=50)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
properties = st.dictionaries(texts, st.none() | st.booleans() | texts | numbers, max_size=5)


@settings(max_examples=300)
@given(title=texts, path=texts, given_=properties, at=st.integers(0, 10**9))
def test_a_hit_comes_back_from_its_bytes_as_it_was(title, path, given_, at):
    hit = make_hit(at, title=title, path=path, properties=given_ or None)
    assert HITS.item(encode(hit)) == hit


def test_heartbeats_and_leaves_come_back_too():
    for hit in (make_heartbeat(5, 12, website_id=3, time_on_page_s=9, scroll_depth=100), make_leave(6)):
        assert HITS.item(encode(hit)) == hit


def test_what_is_at_its_default_is_not_written():
    assert b"utm_source" not in encode(make_hit())
    assert len(encode(make_leave())) < 90


def test_hits_gathered_from_their_bytes_are_a_record():
    hits = [make_hit(title='"},['), make_event(), make_leave()]
    value = gather("edge-1", 2**53 - 1, [encode(hit) for hit in hits])
    record = HITS.record(value)
    assert (record.writer, record.sequence, record.hits) == ("edge-1", 2**53 - 1, hits)
    assert [bytes(hit) for hit in read_raw_hits(value).hits] == [encode(hit) for hit in hits]
    assert HITS.record(gather("w", 0, [])).hits == []


def test_a_record_cannot_be_changed():
    with pytest.raises(AttributeError):
        make_hit().title = "other"


@pytest.mark.parametrize("value", ["1", "-1", "0.5", "12345678901234.1234"])
def test_an_amount_has_14_digits_and_four_decimals(value):
    assert HITS.item(encode(make_hit(value=value))).value == value


@pytest.mark.parametrize("value", ["", "1.", ".5", "1.23456", "123456789012345", "NaN", "1e3", " 1", "1\n", "\u0661"])
def test_anything_else_is_no_amount(value):
    with pytest.raises(msgspec.ValidationError):
        HITS.item(encode(make_hit(value=value)))


@pytest.mark.parametrize(
    "fields",
    [
        {"visitor": "A" * 32},
        {"visitor": "a" * 31},
        {"visitor": "a" * 32 + "\n"},
        {"client_id": "x" * 32},
        {"kind": 0},
        {"website_id": -1},
        {"currency": "EURO"},
        {"properties": {"a": [1]}},
        {"properties": {"a": 2**53}},
        {"path": "x" * 2001},
    ],
)
def test_a_hit_that_no_edge_would_write_is_refused(fields):
    with pytest.raises(msgspec.ValidationError):
        HITS.item(encode(make_hit(**fields)))


def test_every_text_of_a_hit_is_bounded():
    for name, type_ in Hit.__annotations__.items():
        if "str" in str(type_):
            assert "max_length" in str(type_) or "pattern" in str(type_) or name == "properties"


def test_who_was_seen_comes_back_as_it_was():
    record = ActivityRecord(7, [Active(1, 5, "/é", "GB"), Active(2, 6, "", "")])
    other = ActivityRecord(8, [Active(1, 7, "/", "")])
    assert read_activities(encode([record, other])) == [record, other]
    assert read_activities(encode(record)) == [record]
    with pytest.raises(msgspec.DecodeError):
        read_activities(b"")
