"""CSV that a spreadsheet can open without running anything."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from analytics_app.clock import iso

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet read a text as a formula (OWASP's list, with the full-width signs Excel takes too)."""


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """`rows` as CSV (RFC 4180): texts that would be formulas begin with an apostrophe, numbers stay numbers."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def cell(value: Any) -> Any:
    """`value` as it stands in a cell."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, dict):
        value = orjson.dumps(value).decode()
    if isinstance(value, str) and value.lstrip(" ").startswith(DANGEROUS):
        return f"'{value}"
    return value
