"""Bodies from anywhere: size, encoding, JSON."""

import gzip
import tracemalloc

import pytest

from tests.web.calls import Caller, assert_error

PATH = "/analytics/websites"
GOOD = b'{"name": "A site", "host": "example.com"}'


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "x/y; charset=x"]
)
async def test_json_is_read_whatever_its_content_type(admin: Caller, kind: str):
    assert (await admin.post(PATH, data=GOOD, headers={"Content-Type": kind})).status == 201


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"12",
        b"name=x",
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"replay_sampling": 1e999, "name": "x", "host": "x"}',
        b'{"session_timeout_s": 1208925819614629174706176}',
        b"\xff\xfe\x00",
        b'{"name": "\xff"}',
        b"[" * 1000 + b"]" * 1000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b"\x1f\x8b broken gzip",
    ],
)
async def test_what_is_no_json_object_is_refused(admin: Caller, body: bytes):
    await assert_error(await admin.post(PATH, data=body), 400, "VALIDATION_ERROR")


async def test_a_body_may_be_sent_as_gzip(admin: Caller):
    response = await admin.post(PATH, data=gzip.compress(GOOD), headers={"Content-Encoding": "gzip"})
    assert response.status == 201


async def test_other_encodings_and_broken_gzip_are_refused(admin: Caller):
    for encoding, body in (("compress", GOOD), ("gzip", gzip.compress(GOOD)[:-9]), ("gzip", b"\x1f\x8b\x08nonsense")):
        response = await admin.post(PATH, data=body, headers={"Content-Encoding": encoding})
        await assert_error(response, 400, "VALIDATION_ERROR")


async def test_a_body_of_64_kib_is_taken_and_one_byte_more_is_not(admin: Caller):
    fitting = GOOD + b" " * (64 * 1024 - len(GOOD))
    assert (await admin.post(PATH, data=fitting)).status == 201
    await assert_error(await admin.post(PATH, data=fitting + b" "), 413, "PAYLOAD_TOO_LARGE")
    zipped = gzip.compress(fitting + b" ")
    await assert_error(
        await admin.post(PATH, data=zipped, headers={"Content-Encoding": "gzip"}), 413, "PAYLOAD_TOO_LARGE"
    )


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(admin: Caller):
    async def endless():
        for _ in range(100):
            yield b" " * 16_384

    await assert_error(await admin.post(PATH, data=endless()), 413, "PAYLOAD_TOO_LARGE")


async def test_a_bomb_is_refused_without_being_inflated(admin: Caller):
    bomb = gzip.compress(b"\0" * 60_000_000)
    assert len(bomb) < 64 * 1024
    tracemalloc.start()
    try:
        response = await admin.post(PATH, data=bomb, headers={"Content-Encoding": "gzip"})
        await assert_error(response, 413, "PAYLOAD_TOO_LARGE")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
