import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_app.records import HITS, Heartbeat, Leave, encode
from analytics_app.stream.logic import Gap, Parsed, Record, admit, digest_of, fresh, parse, portions, restart_of
from tests.factories import make_event, make_heartbeat, make_hit, make_leave, make_record


def offsets(next_offset, *given_):
    return [record.offset for record in fresh(next_offset, [Record(0, offset, b"") for offset in given_])]


# What of a batch is new.


def test_what_continues_from_the_position_is_new():
    assert offsets(5, 5, 6, 7) == [5, 6, 7]


def test_what_lies_below_the_position_was_stored_before():
    assert offsets(7, 5, 6, 7, 8) == [7, 8]
    assert offsets(9, 5, 6, 7, 8) == []
    assert offsets(9) == []


@pytest.mark.parametrize("position", [100, 110, 120, 121])
def test_a_batch_after_a_rebalance_gives_each_record_once_and_in_order(position):
    assert offsets(position, 120, *range(100, 120), 120, 121) == list(range(position, 122))


@pytest.mark.parametrize("given_", [(7,), (5, 7), (6, 8, 7, 5, 9, 11), (7, 7)])
def test_records_that_are_missing_are_a_gap(given_):
    with pytest.raises(Gap) as raised:
        offsets(5, *given_)
    assert raised.value.expected < raised.value.got


def test_a_gap_below_the_position_is_none():
    assert offsets(9, 5, 7, 9) == [9]


@given(st.integers(0, 30), st.lists(st.integers(0, 30)))
def test_new_records_run_on_from_the_position_without_a_hole(position, given_):
    ahead = sorted({offset for offset in given_ if offset >= position})
    if ahead == list(range(position, position + len(ahead))):
        assert offsets(position, *given_) == ahead
    else:
        with pytest.raises(Gap):
            offsets(position, *given_)


# How much is stored at once.


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.binary(max_size=9))), st.integers(0, 30))
def test_portions_hold_every_record_in_order_and_are_as_large_as_they_may_be(given_, most):
    records = [Record(*one) for one in given_]
    parts = list(portions(records, most))
    in_order = [record for part in parts for record in part]
    assert sorted(in_order, key=repr) == sorted(records, key=repr)
    for partition in range(3):
        offsets_ = [one.offset for one in in_order if one.partition == partition]
        assert offsets_ == sorted(offsets_)
    sizes = [sum(len(one.value) for one in part) for part in parts]
    assert all(size <= most or len(part) == 1 for part, size in zip(parts, sizes, strict=True))
    assert all(size + len(following[0].value) > most for size, following in zip(sizes[:-1], parts[1:], strict=True))


def test_portions_take_every_partition_further():
    records = [Record(p, first + n, b"1234") for p, first in ((0, 70), (1, 5)) for n in range(4)]
    parts = list(portions(records, 16))
    assert [[(one.partition, one.offset) for one in part] for part in parts] == [
        [(0, 70), (1, 5), (0, 71), (1, 6)],
        [(0, 72), (1, 7), (0, 73), (1, 8)],
    ]


# What a producer wrote twice.


def parsed(offset, sequence, writer="w", hits=1, failures=0):
    record = parse(make_record(offset, *(make_hit() for _ in range(hits)), writer=writer, sequence=sequence))
    record.failures = [object()] * failures
    return record


def test_a_record_that_was_stored_before_is_left_out_and_counted():
    batch = admit([parsed(0, 4, hits=3), parsed(1, 5, hits=2)], {(0, "w"): 4})
    assert batch.outcomes == {"received": 5, "written_twice": 3, "failed": 0}
    assert (len(batch.hits), batch.sequences) == (2, {(0, "w"): 5})


def test_a_record_that_comes_twice_in_a_batch_counts_once():
    batch = admit([parsed(0, 7), parsed(1, 7), parsed(2, 8), parsed(3, 7)], {})
    assert (batch.offsets, batch.outcomes["written_twice"], batch.sequences) == ([0, 2], 2, {(0, "w"): 8})


def test_a_sequence_may_leave_numbers_out_since_records_given_up_never_land():
    assert admit([parsed(0, 1), parsed(1, 9), parsed(2, 10)], {(0, "w"): 0}).offsets == [0, 1, 2]


def test_the_first_record_of_a_writer_has_the_sequence_nought():
    assert admit([parsed(0, 0), parsed(1, 0)], {}).offsets == [0]


def test_each_hit_knows_the_partition_it_came_from():
    records = [parse(make_record(0, *(make_hit() for _ in range(hits)), partition=p)) for p, hits in ((2, 2), (1, 1))]
    batch = admit(records, {})
    assert (batch.partitions, batch.offsets) == ([2, 2, 1], [0, 0, 0])


def test_a_writer_counts_each_partition_apart():
    records = [parse(make_record(0, make_hit(), sequence=5, partition=p)) for p in (0, 1)]
    batch = admit(records, {(0, "edge-1"): 5})
    assert (batch.partitions, batch.sequences) == ([1], {(1, "edge-1"): 5})


def test_writers_do_not_know_of_each_other():
    batch = admit([parsed(0, 5, "a"), parsed(1, 5, "b"), parsed(2, 4, "b")], {(0, "a"): 4})
    assert (batch.offsets, batch.sequences) == ([0, 1], {(0, "a"): 5, (0, "b"): 5})


def test_failures_of_a_repeat_are_not_kept_twice():
    batch = admit([parsed(0, 1, hits=1, failures=2), parsed(1, 1, hits=1, failures=2)], {})
    assert len(batch.failures) == 2
    assert batch.outcomes == {"received": 6, "failed": 2, "written_twice": 3}


def test_records_without_a_writer_are_all_taken():
    assert admit([Parsed(0, 0, hits=[make_hit()]), Parsed(0, 1, hits=[make_hit()])], {}).offsets == [0, 1]


def test_each_hit_knows_the_offset_it_came_with():
    batch = admit([parsed(3, 0, hits=2), parsed(4, 1, hits=0), parsed(5, 2, hits=1)], {})
    assert batch.offsets == [3, 3, 5]


# What a record says.

GOOD = encode(make_hit(event_id=1))


def record_of(*hits):
    return Record(0, 8, b'{"writer":"w","sequence":3,"hits":[%b]}' % b",".join(hits))


def bad_hit(**replaced):
    fields = {
        "event_id": b"2",
        "at_ms": b"5",
        "website_id": b"7",
        "session_key": b'"%b"' % (b"a" * 32),
        "visitor": b'"%b"' % (b"b" * 32),
    }
    fields |= replaced
    return b'{"t":"hit",%b}' % b",".join(b'"%b":%b' % (k.encode(), v) for k, v in fields.items() if v is not None)


BAD = {
    "too large an id": bad_hit(event_id=b"%d" % 2**80),
    "an id below nought": bad_hit(event_id=b"-1"),
    "an id with a fraction": bad_hit(event_id=b"1.0"),
    "an id that is a text": bad_hit(event_id=b'"1"'),
    "no id": bad_hit(event_id=None),
    "a time after 2100": bad_hit(at_ms=b"4102444800001"),
    "a website too large for a row": bad_hit(website_id=b"2147483648"),
    "a session key that is none": bad_hit(session_key=b'"abc"'),
    "a session key with a line break": bad_hit(session_key=b'"%b\\n"' % (b"a" * 32)),
    "a kind nobody knows": bad_hit(kind=b"8"),
    "a title that is a list": bad_hit(title=b"[]"),
    "a title too long": bad_hit(title=b'"%b"' % (b"x" * 2001)),
    "a title with a lone surrogate": bad_hit(title=rb'"\ud800"'),
    "a title with half a surrogate pair": bad_hit(title=rb'"\ud800\u0041"'),
    "bytes that are no text": bad_hit(title=b'"\xff\xfe"'),
    "a name of a property that is no text": bad_hit(properties=b'{"\xff":1}'),
    "a property that is NaN": bad_hit(properties=b'{"a":NaN}'),
    "a property that is infinite": bad_hit(properties=b'{"a":Infinity}'),
    "a property beyond all numbers": bad_hit(properties=b'{"a":1e999}'),
    "a property of 2^80": bad_hit(properties=b'{"a":%d}' % 2**80),
    "a property of 5,000 digits": bad_hit(properties=b'{"a":%b}' % (b"9" * 5000)),
    "a property that is a list": bad_hit(properties=b'{"a":[1]}'),
    "a value that is no amount": bad_hit(value=b'"1e5"'),
    "a value with a line break": bad_hit(value=b'"1.5\\n"'),
    "a currency that is none": bad_hit(currency=b'"eur"'),
    "100,000 levels of lists": bad_hit(x=b"[" * 100_000 + b"]" * 100_000),
    "100,000 levels of objects": bad_hit(x=b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "a kind of hit nobody knows": GOOD.replace(b'"t":"hit"', b'"t":"miss"'),
    "no kind of hit": b"{}",
    "a list": b"[1,[2]]",
    "ten thousand levels of lists": b"[" * 10_000 + b"]" * 10_000,
    "a text": b'"},]{["',
    "null": b"null",
    "a number": b"12",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_bad_hit_is_a_failure_and_the_good_ones_of_its_record_are_stored(bad, at):
    hits = [encode(make_hit(event_id=1)), encode(make_heartbeat(of=1))]
    hits.insert(at, bad)
    read = parse(record_of(*hits))
    assert (read.offset, read.writer, read.sequence) == (8, "w", 3)
    assert [type(hit).__name__ for hit in read.hits] == ["Hit", "Heartbeat"]
    assert [(failure.offset, failure.value) for failure in read.failures] == [(8, bad)]
    assert read.failures[0].error


def test_a_text_with_brackets_does_not_lead_the_reader_astray():
    tricky = encode(make_hit(event_id=1, title='"hits":[}],{\\"', path="\\"))
    read = parse(record_of(tricky, BAD["a property that is NaN"], tricky))
    assert [hit.title for hit in read.hits] == ['"hits":[}],{\\"'] * 2
    assert len(read.failures) == 1


def test_a_record_without_a_good_hit_is_set_aside_whole():
    record = record_of(*[BAD["null"]] * 2000)
    read = parse(record)
    assert (read.hits, read.writer, read.sequence) == ([], "w", 3)
    assert [failure.value for failure in read.failures] == [record.value]


NO_RECORDS = {
    "nothing": b"",
    "a zero byte": b"\0",
    "bytes": bytes(range(256)),
    "a gzip header": b"\x1f\x8b\x08\x00",
    "null": b"null",
    "a list": b"[]",
    "a hit by itself": GOOD,
    "no writer": b'{"sequence":1,"hits":[]}',
    "no hits": b'{"writer":"w","sequence":1}',
    "hits that are no list": b'{"writer":"w","sequence":1,"hits":{}}',
    "a writer with a zero": rb'{"writer":"a\u0000","sequence":1,"hits":[]}',
    "a writer too long": b'{"writer":"%b","sequence":1,"hits":[]}' % (b"w" * 101),
    "a writer that is no text": b'{"writer":"\xff","sequence":1,"hits":[]}',
    "a sequence below nought": b'{"writer":"w","sequence":-1,"hits":[]}',
    "a sequence of 2^80": b'{"writer":"w","sequence":%d,"hits":[]}' % 2**80,
    "brackets that do not close": b'{"writer":"w","sequence":1,"hits":[' + GOOD,
    "brackets that do not match": b'{"writer":"w","sequence":1,"hits":[' + GOOD + b"}}",
    "ten thousand levels": b"[" * 10_000 + b"]" * 10_000,
    "ten thousand levels beside the hits": b'{"writer":"w","sequence":1,"x":%b,"hits":[%b]}'
    % (b"[" * 10_000 + b"]" * 10_000, GOOD),
}


@pytest.mark.parametrize("value", NO_RECORDS.values(), ids=NO_RECORDS.keys())
def test_what_is_no_record_is_one_failure_and_no_crash(value):
    read = parse(Record(0, 8, value))
    assert read.hits == []
    assert [(failure.offset, failure.value) for failure in read.failures] == [(8, value)]


@settings(max_examples=500)
@given(st.binary(max_size=300))
def test_no_bytes_whatever_crash_the_reader(value):
    read = parse(Record(0, 1, value))
    assert len(read.failures) == 1 or (read.hits == [] and read.failures == [])


@settings(max_examples=500)
@given(st.data())
def test_no_byte_changed_in_a_good_record_crashes_the_reader_or_loses_a_hit_uncounted(data):
    record = make_record(0, make_hit(title="é{[", path='/"'), make_event(properties={"a": 1.5}), make_leave())
    at = data.draw(st.integers(0, len(record.value) - 1))
    value = record.value[:at] + bytes([data.draw(st.integers(0, 255))]) + record.value[at + 1 :]
    read = parse(Record(0, 0, value))
    assert len(read.hits) + len(read.failures) >= 1


def test_a_good_record_is_read_as_it_was_written():
    hits = [
        make_hit(client_id="c" * 32, value="-12.5", currency="EUR", properties={"é": "x", "n": 2**53 - 1, "b": False}),
        make_heartbeat(website_id=7, time_on_page_s=86_400, scroll_depth=100),
        make_leave(5),
    ]
    record = make_record(4, *hits)
    assert parse(record).hits == hits == HITS.record(record.value).hits
    assert isinstance(hits[1], Heartbeat)
    assert isinstance(hits[2], Leave)


# Whether a partition can go on where it stood.

KNOWN, OTHER = b"k" * 16, b"o" * 16


@pytest.mark.parametrize(
    ("position", "known", "start", "end", "found", "expected"),
    [
        (10, KNOWN, 0, 20, KNOWN, None),
        (20, KNOWN, 0, 20, KNOWN, None),
        (0, None, 0, 0, None, None),
        (10, KNOWN, 0, 20, None, None),
        (10, None, 0, 20, OTHER, None),
        (10, KNOWN, 10, 20, None, None),
        (10, KNOWN, 0, 9, None, (0, "shorter")),
        (10, KNOWN, 0, 0, None, (0, "shorter")),
        (10, KNOWN, 3, 9, None, (3, "shorter")),
        (10, KNOWN, 0, 20, OTHER, (0, "another")),
        (10, KNOWN, 15, 20, None, (15, "retention")),
        (10, None, 11, 20, None, (11, "retention")),
    ],
)
def test_a_partition_goes_on_at_its_position_unless_the_log_is_not_the_one_it_was(
    position, known, start, end, found, expected
):
    restart = restart_of(position, known, start, end, found)
    if expected is None:
        assert restart is None
    else:
        assert restart is not None
        assert restart.offset == expected[0]
        assert expected[1] in restart.reason


def test_a_digest_tells_records_apart_and_knows_one_again():
    one, other = make_record(0, make_hit(event_id=1)), make_record(0, make_hit(event_id=2))
    assert digest_of(one) == digest_of(Record(0, 99, one.value))
    assert digest_of(one) != digest_of(other)
    assert len(digest_of(one)) == 16
