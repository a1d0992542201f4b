"""Who is recorded, and what chunks add up to."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.replays import packing, playing
from analytics_app.replays.events import VERSION
from analytics_app.replays.logic import (
    WHOLE,
    Chunk,
    Facts,
    Gap,
    Origin,
    Recording,
    advance,
    facts_of,
    gaps,
    is_sampled,
    rage_clicks,
    recording_key,
    records,
    refused,
    tab_key,
)
from tests.factories import make_website
from tests.recordings import change, click, custom, element, meta, ms, opening, scroll, snapshot


def keys(count: int) -> list[str]:
    chance = random.Random(5)
    return [f"{chance.getrandbits(128):032x}" for _ in range(count)]


@pytest.mark.parametrize("part", [0.0, 0.01, 0.25, 0.9, 1.0])
def test_as_many_sessions_are_recorded_as_were_asked_for(part):
    found = sum(is_sampled(7, key, part) for key in keys(20_000)) / 20_000
    assert found == pytest.approx(part, abs=0.012)


def test_who_is_recorded_stays_recorded_when_more_are():
    chosen = {key for key in keys(2000) if is_sampled(7, key, 0.2)}
    assert chosen <= {key for key in keys(2000) if is_sampled(7, key, 0.3)}
    assert chosen != {key for key in keys(2000) if is_sampled(8, key, 0.2)}, "another website, other sessions"


def test_only_full_websites_record():
    key = "0" * 32
    assert records(make_website(tracking_type="full", replay_sampling=1.0), key)
    assert not records(make_website(tracking_type="lightweight", replay_sampling=1.0), key)
    assert not records(make_website(tracking_type="full"), key)


def test_facts_are_read_from_events():
    said = [
        *opening(1, "https://example.com/shop?q=tea#top"),
        click(2, 7, 8),
        custom(3, "page", path="/basket"),
        custom(4, "error", message="x"),
        change(5, 2, type=1, id=1, x=1, y=1),
        scroll(6),
    ]
    pages = ((ms(1), "/shop"), (ms(3), "/basket"))
    assert facts_of(said) == Facts(7, ms(1), ms(6), ((ms(2), 7, 8),), 1, pages, has_snapshot=True)
    assert facts_of([]) == Facts()


@pytest.mark.parametrize(
    ("clicks", "bursts"),
    [
        ([], 0),
        ([(0, 5, 5), (400, 5, 5)], 0),
        ([(0, 5, 5), (400, 9, 9), (800, 5, 5)], 1),
        ([(0, 5, 5), (400, 5, 5), (800, 5, 5), (1200, 5, 5), (1600, 5, 5), (1900, 5, 5)], 1),
        ([(0, 5, 5), (600, 5, 5), (1200, 5, 5)], 0),
        ([(0, 5, 5), (400, 60, 5), (800, 5, 5)], 0),
        ([(0, 5, 5), (300, 5, 5), (600, 5, 5), (9000, 5, 5), (9300, 5, 5), (9600, 5, 5)], 2),
    ],
)
def test_a_rage_click_is_three_on_one_spot_within_a_second(clicks, bursts):
    assert rage_clicks(clicks) == bursts
    assert rage_clicks(reversed(clicks)) == bursts


def chunk(sequence: int, *, pages: tuple[str, ...] = (), data: bytes = b"x" * 10) -> Chunk:
    first, last = ms(sequence * 5), ms(sequence * 5 + 4)
    facts = Facts(3, first, last, ((first, 1, 1),), sequence % 2, tuple((first + 1, page) for page in pages))
    return Chunk(sequence, facts, data, 30, Origin("ab" * 16, 0, f"C{sequence}"))


@given(st.permutations(range(6)))
def test_a_recording_is_the_same_in_whatever_order_its_chunks_come(order):
    made = [chunk(number, pages=(f"/{number // 2}",)) for number in range(6)]
    recording = Recording()
    for number in order:
        recording = advance(recording, made[number])
    assert (recording.chunks, recording.events, recording.clicks, recording.errors) == (6, 18, 6, 3)
    assert (recording.stored_bytes, recording.raw_bytes, recording.duration_ms) == (60, 180, 29_000)
    assert (recording.entry_page, sorted(recording.pages), recording.origin.country) == ("/0", ["/0", "/1", "/2"], "C0")
    assert (recording.first_sequence, recording.last_sequence) == (0, 5)


def test_a_full_recording_takes_no_more():
    held = advance(Recording(), chunk(0))
    assert refused(held, chunk(1), 10, 10**9) is None
    assert refused(held, chunk(1), 9, 10**9) == "size"
    assert refused(held, chunk(1), 10, 8999) == "length"
    assert refused(held, chunk(1), 10, 9000) is None


def test_a_recording_is_known_by_its_tab_or_where_it_names_none_by_its_session():
    session, other = "a" * 32, "b" * 32
    assert recording_key(session, None) == recording_key(session, WHOLE) == session
    tabs = {tab_key(one, tab) for one in (session, other) for tab in ("x", "y")}
    assert len(tabs) == 4
    assert all(recording_key(session, tab) == tab for tab in tabs)


def test_gaps_are_told_with_their_times():
    times = [(1, 1000, 2000), (2, 2000, 3000), (6, 9000, 9500)]
    assert gaps(times, 1000) == [Gap(0, 0, 0, 0), Gap(3, 5, 2000, 8000)]
    assert gaps([(0, 5, 6), (1, 6, 7)], 5) == []


def test_a_player_begins_with_a_snapshot():
    said = [click(1), meta(2), snapshot(2), click(3)]
    data = packing.compressed(packing.write(said))
    assert packing.read(b"[" + playing.events_json(data, VERSION, is_first=True) + b"]") == said[1:]
    assert packing.read(b"[" + playing.events_json(data, VERSION) + b"]") == said


def test_what_an_older_sanitiser_passed_is_cleaned_on_its_way_out():
    data = packing.compressed(packing.write([meta(), snapshot(0, element("a", onclick="x()", href="//x"))]))
    assert b"onclick" in playing.events_json(data, VERSION)
    assert b"onclick" not in playing.events_json(data, VERSION - 1)


@pytest.mark.parametrize(
    "packed", [b"", b"junk", packing.compressed(b"{}"), packing.compressed(b"[1"), packing.compressed(b"[]")[:-2]]
)
def test_what_is_no_chunk_cannot_be_unpacked(packed):
    with pytest.raises(packing.Unpackable):
        packing.unpacked(packed)


def test_a_frame_that_says_to_be_enormous_is_not_inflated():
    with pytest.raises(packing.Unpackable):
        packing.unpacked(packing.compressed(b"[" + b" " * packing.MOST_INFLATED + b"]"))


def test_a_text_cut_within_an_emoji_is_read():
    assert packing.read(b'["a\\ud83d"]') == ["a\ufffd"]
