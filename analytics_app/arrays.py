"""Columns of many rows as one parameter each: Postgres' array literals, at a part of what a driver's lists cost.

Each is to be cast where it stands: `unnest(%s::bigint[])`.
"""

from collections.abc import Iterable
from datetime import datetime


def numbers(values: Iterable[int | None]) -> str:
    """Integers, and nulls, for `bigint[]` and its smaller kin."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """Texts, and nulls, for `text[]`, and for `numeric[]` and `jsonb[]` as they are written."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    return '"' + value.replace('"', '\\"') + '"'


def truths(values: Iterable[bool]) -> str:
    """Booleans, for `boolean[]`."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def instants(values: Iterable[datetime | None]) -> str:
    """Moments of a known time zone, and nulls, for `timestamptz[]`."""
    return "{" + ",".join(["NULL" if value is None else value.isoformat() for value in values]) + "}"


def hexes(values: Iterable[str]) -> str:
    """Hexadecimal digits, which need no quotes, for `uuid[]`."""
    return "{" + ",".join(values) + "}"


def binaries(values: Iterable[bytes]) -> str:
    r"""Bytes, for `bytea[]`."""
    return "{" + ",".join([f'"\\\\x{value.hex()}"' for value in values]) + "}"
