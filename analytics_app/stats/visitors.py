"""Sets of visitors' numbers, dense: how they are made, written, read and united."""

from array import array
from collections.abc import Iterable, Sequence

from pyroaring import BitMap, BitMap64

Visitors = BitMap | BitMap64
NARROW, WIDE = b"4", b"8"
_LIMIT = 1 << 32


def visitors_of(numbers: Sequence[int]) -> Visitors:
    """The set of those numbers."""
    return BitMap(numbers) if not numbers or max(numbers) < _LIMIT else BitMap64(numbers)


def narrow(numbers: bytes) -> BitMap:
    """The set of numbers of 32 bits each, one behind the other as this machine writes them."""
    return BitMap(array("I", numbers))


def written(visitors: Visitors) -> bytes:
    """`visitors` as a row holds them: a byte that tells how wide numbers are, and the set."""
    return (NARROW if isinstance(visitors, BitMap) else WIDE) + bytes(visitors.serialize())


def read(value: bytes) -> Visitors:
    """What `written` wrote."""
    return (BitMap if value[:1] == NARROW else BitMap64).deserialize(value[1:])


def united(sets: Iterable[Visitors]) -> Visitors:
    """Everybody who is in any of them."""
    narrow: list[BitMap] = []
    wide: list[BitMap64] = []
    for one in sets:
        if isinstance(one, BitMap):
            narrow.append(one)
        else:
            wide.append(one)
    whole = narrow[0] if len(narrow) == 1 else BitMap.union(*narrow) if narrow else BitMap()
    if not wide:
        return whole
    return BitMap64.union(BitMap64(whole), *wide)
