"""Columns of many rows come to Postgres as what they were."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from analytics_app import arrays
from analytics_app.db import driver_of


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (arrays.numbers, "bigint", [0, -1, None, 2**63 - 1, -(2**63)]),
        (arrays.texts, "text", ["", "NULL", None, 'a"b', "a\\b", "a,b", "{a}", " a ", "a\nb", "ä€😀", "\\", '\\"']),
        (arrays.truths, "boolean", [True, False]),
        (
            arrays.instants,
            "timestamptz",
            [
                datetime(1970, 1, 1, tzinfo=UTC),
                None,
                datetime(2026, 3, 29, 1, 59, 59, 999999, UTC),
                datetime(2100, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            ],
        ),
        (arrays.binaries, "bytea", [b"", b"\0\xff", b'"\\,{}']),
    ],
)
async def test_a_column_comes_as_what_it_was(db, column, kind, values):
    driver = await driver_of(db)
    for some in (values, []):
        assert await (await driver.execute(f"SELECT %s::{kind}[]", (column(some),))).fetchone() == (some,)


async def test_hexadecimal_digits_come_as_uuids(db):
    digits = ["00" * 16, "0123456789abcdef" * 2]
    driver = await driver_of(db)
    ((found,),) = await (await driver.execute("SELECT %s::uuid[]", (arrays.hexes(digits),))).fetchall()
    assert [one.hex for one in found] == digits
