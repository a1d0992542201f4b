"""Pieces of time whose sums are sealed, and how a period is put together from them: pure.

A piece is so many quarter hours long and begins at a multiple of its length since 1970, in UTC. The days of any time
zone begin at quarter hours.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from analytics_app.sessions.kinds import SESSION_TERMS, TermKind
from analytics_app.stats.zones import QUARTER

HOUR, PART, DAY = 4, 16, 96
SHORTER = (PART, HOUR, 1)
"""Parts are sealed until their day is; days of other time zones than UTC are put together from all of these."""
BLOCKS = (4 * DAY, 16 * DAY, 64 * DAY)
"""Days are put together by four, these by four, and again: a month is 12 pieces at most, a year some 20."""
LONGEST_SPAN = BLOCKS[-1]
MOST_GAPS = 8
"""What is not sealed is asked of rows, a question for each gap: of a period with more gaps, all is."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EVERYTHING_DIMENSION = 0
DIMENSION_NUMBERS: dict[str, int] = {
    "page": int(TermKind.PATH),
    "event": int(TermKind.EVENT_NAME),
    "title": int(TermKind.TITLE),
    **{name: int(kind) for name, kind in SESSION_TERMS.items()},
    "entry_page": 21,
    "exit_page": 22,
}
"""The numbers under which sums of a dimension are sealed. They are in the database: never change one."""

_OF_FEW_VALUES = frozenset({"host", "channel", "utm_medium", "device_type", "browser", "os"})
_FEW = frozenset(DIMENSION_NUMBERS[name] for name in _OF_FEW_VALUES)


class SealState(IntEnum):
    """How far the sums of a piece are. The numbers are in the database: never change one."""

    COUNTING = 0
    SEALED = 1
    CHANGED = 2  # rows of it changed: to be counted again


class Piece(NamedTuple):
    """A piece of time: its length and its start, both in quarter hours (since 1970)."""

    span: int
    at: int

    @property
    def start(self) -> datetime:
        """When it begins."""
        return moment(self.at)

    @property
    def end(self) -> datetime:
        """When it is over."""
        return moment(self.at + self.span)


@dataclass(frozen=True, slots=True)
class Cover:
    """A period put together: sealed pieces of it, and the gaps between them, in order."""

    pieces: list[Piece]
    gaps: list[tuple[datetime, datetime]]


def spans_of(dimension: int) -> tuple[int, ...]:
    """The lengths in which sums of a dimension are sealed, the longest first.

    Days are sealed by their parts, hours and quarter hours, too, for everything alone. Blocks of days where there are
    many values: of few, the days are as quick.
    """
    if dimension == EVERYTHING_DIMENSION:
        return (*reversed(BLOCKS), DAY, *SHORTER)
    return (DAY, PART) if dimension in _FEW else (*reversed(BLOCKS), DAY, PART)


def block_of(at: int, span: int) -> Piece:
    """The piece of that length in which the quarter hour `at` lies."""
    return Piece(span, at - at % span)


def quarters(at: datetime) -> int:
    """The number of the quarter hour that `at` lies in."""
    return (at - _EPOCH) // QUARTER


def moment(quarter: int) -> datetime:
    """When a quarter hour begins."""
    return _EPOCH + quarter * QUARTER


def cover(start: datetime, end: datetime, spans: tuple[int, ...], sealed: AbstractSet[Piece]) -> Cover:
    """`[start, end)` from as few of the `sealed` pieces as there are, of the lengths `spans`."""
    at, last = quarters(start - timedelta(microseconds=1)) + 1, quarters(end)
    pieces: list[Piece] = []
    gaps: list[tuple[datetime, datetime]] = []
    since = start
    while at < last:
        piece = _longest(at, last, spans, sealed)
        if piece is None:
            at += _to_next(at, spans)
            continue
        if since < piece.start:
            gaps.append((since, piece.start))
        pieces.append(piece)
        at += piece.span
        since = moment(at)
    if since < end:
        gaps.append((since, end))
    return Cover(pieces, gaps)


def _longest(at: int, last: int, spans: tuple[int, ...], sealed: AbstractSet[Piece]) -> Piece | None:
    for span in spans:
        if at % span == 0 and at + span <= last and _is_sealed(piece := Piece(span, at), spans, sealed):
            return piece
    return None


def _is_sealed(piece: Piece, spans: tuple[int, ...], sealed: AbstractSet[Piece]) -> bool:
    """Whether a piece is: by itself, or with the day or the part of it in which it lies."""
    if piece in sealed or piece.span >= DAY or HOUR not in spans:
        return piece in sealed
    return block_of(piece.at, DAY) in sealed or (piece.span < PART and block_of(piece.at, PART) in sealed)


def _to_next(at: int, spans: tuple[int, ...]) -> int:
    """How far it is to where a piece could begin, from where none does."""
    step = PART if PART in spans else DAY
    return step - at % step
