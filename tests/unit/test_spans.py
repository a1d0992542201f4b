"""How a period is put together from what is sealed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from analytics_app.stats.spans import BLOCKS, DAY, HOUR, PART, Piece, block_of, cover, moment, spans_of

EVERYTHING, BROWSER, PAGE = 0, 15, 1
A_DAY = 20_000 * DAY


def test_a_day_of_another_zone_is_parts_and_hours_of_two_sealed_days():
    sealed = frozenset({Piece(DAY, A_DAY), Piece(DAY, A_DAY + DAY)})
    start = A_DAY + 74  # 18:30
    found = cover(moment(start), moment(start + DAY), spans_of(EVERYTHING), sealed)
    assert [piece.span for piece in found.pieces] == [1, 1, HOUR, *[PART] * 5, HOUR, HOUR, 1, 1]
    assert found.gaps == []


def test_parts_of_a_sealed_day_hold_no_sums_by_dimension():
    sealed = frozenset({Piece(DAY, A_DAY)})
    for dimension in (BROWSER, PAGE):
        found = cover(moment(A_DAY + PART), moment(A_DAY + DAY), spans_of(dimension), sealed)
        assert found.pieces == []


def test_of_a_day_that_is_not_sealed_the_sealed_parts_are_taken_and_the_rest_is_a_gap():
    sealed = frozenset({Piece(PART, A_DAY), Piece(PART, A_DAY + 2 * PART)})
    for dimension in (EVERYTHING, BROWSER, PAGE):
        found = cover(moment(A_DAY), moment(A_DAY + 3 * PART + 1), spans_of(dimension), sealed)
        assert found.pieces == sorted(sealed)
        assert found.gaps == [
            (moment(A_DAY + PART), moment(A_DAY + 2 * PART)),
            (moment(A_DAY + 3 * PART), moment(A_DAY + 3 * PART + 1)),
        ]


@given(
    days=st.frozensets(st.integers(0, 9)),
    parts=st.frozensets(st.integers(0, 59)),
    start=st.integers(0, 10 * DAY),
    length=st.integers(1, 10 * DAY),
    dimension=st.sampled_from([EVERYTHING, BROWSER, PAGE]),
)
def test_pieces_and_gaps_are_the_period_each_moment_once(days, parts, start, length, dimension):
    of_days = {Piece(DAY, A_DAY + day * DAY) for day in days}
    of_parts = {Piece(PART, A_DAY + part * PART) for part in parts if part // 6 not in days}
    found = cover(
        moment(A_DAY + start), moment(A_DAY + start + length), spans_of(dimension), frozenset(of_days | of_parts)
    )
    stretches = sorted([(piece.start, piece.end) for piece in found.pieces] + found.gaps)
    assert stretches[0][0] == moment(A_DAY + start)
    assert stretches[-1][1] == moment(A_DAY + start + length)
    assert all(one[1] == other[0] for one, other in pairwise(stretches))
    for piece in found.pieces:
        assert piece.span in spans_of(dimension)
        assert piece.span not in BLOCKS
        inside = {block_of(piece.at, DAY), block_of(piece.at, PART)} if dimension == EVERYTHING else {piece}
        assert inside & (of_days | of_parts)
