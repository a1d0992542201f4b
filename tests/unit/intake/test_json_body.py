import contextlib
import json
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.intake.json_body import depth_exceeds, loads

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def depth_of(value):
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(JSON)
def test_what_is_written_as_json_is_read_back(value):
    assert loads(orjson.dumps(value), max_depth=100) == value


@given(JSON, st.integers(min_value=0, max_value=6))
def test_depth_is_counted_by_the_bytes_as_by_the_value(value, limit):
    assert depth_exceeds(orjson.dumps(value), limit) == (depth_of(value) > limit)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_a_message(body):
    complaint = "none"
    try:
        loads(body)
    except ValueError as refused:
        complaint = str(refused)
    assert complaint


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":Infinity}', "not valid JSON"),
        (b'{"a":1e999}', "not valid JSON"),
        (b'{"a":-1e999}', "not valid JSON"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"a":"\\ud800","b":"\xff"}', "UTF-8"),
        (b'{"a":1} trailing', "not valid JSON"),
        (b'{"a":1208925819614629174706176}', "64 bits"),
        (b'{"a":-9223372036854775809}', "64 bits"),
        (b'{"a":' + b"9" * 60_000 + b"}", "64 bits"),
        (b"[" * 9 + b"]" * 9, "deeper than 8"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "deeper than 8"),
        (b"[" * 1000 + b"]" * 1000, "deeper than 8"),
        (b"[" * 60_000, "deeper than 8"),
        (b'[{"a":' * 500, "deeper than 8"),
    ],
)
def test_what_is_not_exact_json_is_refused_with_a_reason(body, complaint):
    with pytest.raises(ValueError, match=complaint):
        loads(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":18446744073709551615}', {"a": 2**64 - 1}),
        (b'{"a":-9223372036854775808}', {"a": -(2**63)}),
        (b'{"a":"99999999999999999999999999"}', {"a": "9" * 26}),
        (b'{"a":0.12345678901234567890123}', {"a": 0.12345678901234568}),
        (b'{"a":1e-00000000000000000000001}', {"a": 0.1}),
        (b'{"a":"[[[[[[[[[[[[[[[["}', {"a": "[" * 16}),
        (b'{"a":"\\"[[[[[[[[[[[[\\\\"}', {"a": '"[[[[[[[[[[[[\\'}),
        (b"[" * 8 + b"]" * 8, [[[[[[[[]]]]]]]]),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"t":"cut \\ud83d"}', {"t": "cut \ufffd"}),
        (b'{"t":"\\udc00 cut"}', {"t": "\ufffd cut"}),
        (b'{"t":"\\ud83d\\ude00 \\ud83d"}', {"t": "😀 \ufffd"}),
        (b'{"t":"\\\\ud800 \\ud800"}', {"t": "\\ud800 \ufffd"}),
        (b'{"\\ud800":1}', {"\ufffd": 1}),
        (b'{"t":"\\u0000"}', {"t": "\0"}),
    ],
)
def test_what_a_browser_may_send_is_taken(body, value):
    assert loads(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b'\\"' * 32_000,
        b'{"a":"' + b"\\" * 60_001,
        b"[]" * 32_000,
        b"[" * 32_000 + b"]" * 32_000,
        b"[" + b"1234567890123456789 " * 3000,
        b'"' + b"\\ud800" * 10_000 + b'"',
        b'["' + b'","' * 16_000 + b'"]',
    ],
)
def test_no_body_of_64_kib_takes_long(body):
    start = time.process_time()
    with contextlib.suppress(ValueError):
        loads(body)
    assert time.process_time() - start < 0.25  # about 5 ms; the margin is for a slow machine


def test_a_value_as_javascript_writes_it_is_read_alike():
    assert loads(json.dumps({"title": "Ünï 😀", "n": [1, 2.5, None]}).encode()) == {
        "title": "Ünï 😀",
        "n": [1, 2.5, None],
    }
