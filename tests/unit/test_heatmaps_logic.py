"""Which pages a heatmap is of, and what samples count for."""

import re
from collections import Counter

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.heatmaps import grids
from analytics_app.heatmaps.logic import (
    DAY_MS,
    MOST_X,
    MOST_Y,
    WIDE,
    Heatmap,
    Kind,
    bins_of,
    cell_of,
    deeper,
    fold,
    is_of,
    like_of,
    negated,
    split_days,
    viewport_of,
    wanted_of,
)
from analytics_app.heatmaps.lots import Who, lots_of, page_key
from analytics_app.heatmaps.schemas import SamplesBody
from analytics_app.records import SAMPLES, encode
from tests.factories import NOON_MS, make_sample, make_samples

SENT = {
    "type": "click",
    "path": "/",
    "x": 5,
    "y": 5,
    "viewport_width": 1280,
    "viewport_height": 720,
    "page_width": 1265,
    "page_height": 3000,
}


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/", "/", True),
        ("/", "/pricing", False),
        ("/", "/?tab=2", True),
        ("/?tab=2", "/?tab=2", True),
        ("/?tab=2", "/", False),
        ("/blog/*", "/blog/2026/a", True),
        ("/blog/*", "/blog", False),
        ("/*/edit", "/users/7/edit", True),
        ("/*/edit", "/users/edits", False),
        ("/ab*ba", "/aba", False),
        ("*", "/anything?at=all", True),
        ("/search?q=*", "/search?q=shoes", True),
        ("/100%_(.*", "/100%_(.x", True),
    ],
)
def test_a_pattern_is_exact_but_for_its_stars(pattern, path, expected):
    assert is_of(pattern, path) is expected


@given(st.text("/ab*", max_size=8), st.text("/ab", max_size=10))
def test_a_star_stands_for_anything(pattern, path):
    oracle = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), path) is not None
    assert is_of(pattern, path) is oracle


def test_a_page_is_told_each_wanted_type_once():
    heatmaps = [
        Heatmap(1, "scroll", "/*"),
        Heatmap(2, "click", "/"),
        Heatmap(3, "click", "/*"),
        Heatmap(4, "move", "/x"),
    ]
    assert wanted_of(heatmaps, "/") == ["click", "scroll"]


@given(st.text("/ab*_%\\", max_size=8), st.text("/ab_%\\", max_size=10))
def test_the_pattern_of_sql_says_the_same(pattern, path):
    like = like_of(pattern)
    parts = re.findall(r"\\(.)|(.)", like)
    oracle = re.fullmatch("".join(".*" if plain == "%" else re.escape(kept or plain) for kept, plain in parts), path)
    assert is_of(pattern, path) is (oracle is not None)


@pytest.mark.parametrize(("width", "group"), [(0, 1), (767, 1), (768, 2), (1023, 2), (1024, 3), (9999, 3)])
def test_windows_fall_into_three_groups(width, group):
    assert viewport_of(width) == group


# Counting.

samples = st.builds(
    make_sample,
    kind=st.sampled_from((1, 2, 3)),
    x=st.integers(0, MOST_X),
    y=st.integers(0, MOST_Y) | st.integers(0, 3000),
    at=st.integers(-100_000, 100_000),
    viewport_width=st.sampled_from((320, 767, 768, 1024)),
)
lots = st.lists(
    st.builds(
        make_samples,
        *[samples] * 3,
        session_key=st.sampled_from(("aa" * 16, "bb" * 16)),
        path=st.sampled_from(("/", "/a")),
        device_type=st.sampled_from(("desktop", "mobile")),
    ),
    max_size=6,
)
PAGES = {(7, "/"): 1, (7, "/a"): 2}


def counted(folded):
    return bins_of(folded.points.items(), (), folded.reaches.values())


@given(lots)
def test_every_point_counts_once_in_the_cell_it_lies_in(lots):
    bins = counted(fold(lots, PAGES))
    expected = Counter(
        (PAGES[7, lot.path], s.kind, viewport_of(s.viewport_width), s.at_ms // DAY_MS, s.x // 10 * 10, s.y // 10 * 10)
        for lot in lots
        for s in lot.samples
        if s.kind != 3
    )
    found = Counter()
    for key, cells in bins.items():
        if key.kind in (Kind.CLICK, Kind.MOVE):
            for cell, count in cells.items():
                found[key.page, key.kind, key.viewport, key.day, cell % WIDE * 10, cell // WIDE * 10] += count
    assert found == expected


@given(lots)
def test_every_visit_counts_once_by_the_deepest_it_came(lots):
    deepest = {}
    for lot in lots:
        for s in lot.samples:
            if s.kind == 3:
                visit = lot.path, lot.session_key, viewport_of(s.viewport_width), s.at_ms // DAY_MS
                deepest[visit] = max(deepest.get(visit, 0), s.y)
    found = Counter()
    for key, cells in counted(fold(lots, PAGES)).items():
        if key.kind == Kind.SCROLL:
            found.update(cells)
    assert found == Counter(y // 10 for y in deepest.values())


@given(lots, lots)
def test_it_is_the_same_in_one_batch_or_two(first, second):
    whole = fold([*first, *second], PAGES)
    one, two = fold(first, PAGES), fold(second, PAGES)
    after = deeper(two.reaches, one.reaches)
    gone = [one.reaches[visit] for visit in after if visit in one.reaches]
    total = Counter()
    for bins in (counted(one), bins_of(two.points.items(), gone, after.values())):
        for key, cells in bins.items():
            if key.kind < Kind.WIDTH:  # a row is of one batch
                total.update({(key, cell): count for cell, count in cells.items()})
    expected = {
        (key, cell): count
        for key, cells in counted(whole).items()
        if key.kind < Kind.WIDTH
        for cell, count in cells.items()
    }
    assert {at: count for at, count in total.items() if count} == expected


@given(lots)
def test_what_is_taken_away_leaves_nothing(lots):
    bins = counted(fold(lots, PAGES))
    for key, cells in negated(bins).items():
        assert not grids.unite([grids.pack(bins[key]), grids.pack(cells)]).cells.size


# Grids.

cells = st.dictionaries(
    st.tuples(st.integers(0, MOST_X), st.integers(0, MOST_Y)).map(lambda at: cell_of(*at)), st.integers(1, 100_000)
)


@given(st.lists(cells, max_size=4), st.sampled_from((10, 20, 50, 130, 1000)))
def test_a_coarser_grid_holds_the_same_in_larger_cells(parts, cell_px):
    grid = grids.coarser(grids.unite(map(grids.pack, parts)), cell_px)
    expected = Counter()
    for part in parts:
        for cell, count in part.items():
            x, y = cell % WIDE * 10, cell // WIDE * 10
            expected[x // cell_px * cell_px, y // cell_px * cell_px] += count
    points = grids.points_of(grid, cell_px)
    assert {(at["x"], at["y"]): at["count"] for at in points} == expected
    assert orjson.loads(grids.points_json(grid, cell_px)) == points


def test_reach_is_told_from_the_top_to_where_the_last_one_came():
    grid = grids.unite([grids.pack({72: 3, 150: 1})])
    lines = grids.reached_of(grid, 10)
    assert lines[0] == {"x": 0, "y": 0, "count": 100.0}
    assert [line["count"] for line in lines] == [100.0] * 73 + [25.0] * 78
    assert lines[-1]["y"] == 1500
    coarse = grids.reached_of(grid, 500)
    assert [(line["y"], line["count"]) for line in coarse] == [(0, 100.0), (500, 100.0), (1000, 25.0), (1500, 25.0)]
    assert grids.reached_of(grids.unite([]), 10) == []


@given(cells.filter(bool), st.floats(0.01, 1))
def test_a_quantile_has_its_part_at_or_below_it(counts, part):
    grid = grids.unite([grids.pack(counts)])
    found = grids.quantile(grid, part)
    total = sum(counts.values())
    assert sum(n for cell, n in counts.items() if cell <= found) >= part * total - 1e-6
    assert sum(n for cell, n in counts.items() if cell < found) < part * total
    assert counts[grids.most_common(grid)] == max(counts.values())


@given(st.integers(0, 10 * DAY_MS), st.integers(0, 10 * DAY_MS), st.integers(0, 10 * DAY_MS))
def test_days_with_their_edges_added_or_taken_away_count_each_moment_of_the_period_once(start, length, now):
    end = start + length
    split = split_days(start, end, now)
    until = max(end, (now // DAY_MS + 1) * DAY_MS) if end >= now else end
    assert split.stretch == (start, until)
    signed = [(split.days[0] * DAY_MS, split.days[1] * DAY_MS, 1), *split.edges]
    steps = Counter()
    for since, to, by in signed:
        assert since <= to
        steps[since] += by
        steps[to] -= by
    # How often a moment is counted changes where the period begins and ends, and nowhere else.
    assert {at: by for at, by in steps.items() if by} == ({start: 1, until: -1} if start < until else {})


@given(st.integers(0, 10 * DAY_MS), st.integers(0, 10 * DAY_MS))
def test_rows_of_half_a_day_at_most_are_counted_for_each_end(start, length):
    edges = split_days(start, start + length, 2**60).edges
    assert len(edges) <= 2
    assert all(0 < edge.until - edge.since <= DAY_MS // 2 for edge in edges)
    assert sum(edge.until - edge.since for edge in edges) <= length, "never more than the period itself has"


def test_two_hours_around_noon_are_counted_by_themselves():
    noon = 3 * DAY_MS + DAY_MS // 2
    assert split_days(noon - 3_600_000, noon + 3_600_000, 2**60).edges == [(noon - 3_600_000, noon + 3_600_000, 1)]


# Records.


def test_a_call_becomes_lots_of_one_page_each():
    body = SamplesBody.model_validate(
        {
            "key": "k",
            "id": "7c1f3c5e-5d0e-4e62-9d5c-0a3c6a1f2b11",
            "samples": [
                {**SENT, "path": "https://example.com/a?token=secret"},
                {**SENT, "type": "scroll", "y": 10.9, "at": NOON_MS - 1000},
                *[{**SENT, "at": "2026-11-20T11:00:00Z", "selector": "a\0"}] * 1200,
                {**SENT, "at": "2027-01-01T00:00:00Z"},
            ],
        }
    )
    who = Who(7, "aa" * 16, "bb" * 16, "desktop", "cd" * 8)
    made = list(lots_of(body, who, NOON_MS))
    assert [(lot.path, len(lot.samples)) for _, lot in made] == [("/a?token=[removed]", 1), ("/", 1000), ("/", 202)]
    assert len({lot.client_id for _, lot in made}) == 3
    assert {lot.sent_by for _, lot in made} == {"cd" * 8}
    assert [key for key, _ in made] == [page_key(7, lot.path) for _, lot in made]
    assert made == list(lots_of(body, who, NOON_MS)), "an attempt later has the same ids"
    scroll, click, *_, future = [*made[1][1].samples, *made[2][1].samples]
    assert (scroll.kind, scroll.x, scroll.y, scroll.at_ms) == (3, 0, 10, NOON_MS - 1000)
    assert (click.kind, click.at_ms, click.selector) == (1, NOON_MS - 3_600_000, "a")
    assert future.at_ms == NOON_MS
    assert [SAMPLES.item(encode(lot)) for _, lot in made] == [lot for _, lot in made]
