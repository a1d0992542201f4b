"""Live views as they are written for the API."""

from datetime import timedelta

from analytics_app.realtime.store import FROM_THE_FUTURE, put_views, views_of
from tests.traffic import utc

NOW = utc("2026-03-01T12:00")
BUSY = {"active_visitors": 1, "active_pages": [{"path": '/a "é"\\', "viewers": 1}], "locations": []}
EMPTY = {"active_visitors": 0, "active_pages": [], "locations": []}


async def test_views_come_back_as_they_were_written(db):
    written = {92: (BUSY, NOW), 91: (EMPTY, None)}
    await put_views(db, {}, NOW)
    await put_views(db, written, NOW)
    assert await views_of(db, [91, 92, 93]) == written


async def test_a_later_view_of_another_worker_stays_unless_it_is_from_the_future(db):
    await put_views(db, {91: (BUSY, NOW)}, NOW)
    await put_views(db, {91: (EMPTY, None)}, NOW - timedelta(seconds=1))
    assert await views_of(db, [91]) == {91: (BUSY, NOW)}
    await put_views(db, {91: (EMPTY, None)}, NOW - FROM_THE_FUTURE - timedelta(seconds=1))
    assert await views_of(db, [91]) == {91: (EMPTY, None)}
    await put_views(db, {91: (BUSY, NOW)}, NOW)
    assert await views_of(db, [91]) == {91: (BUSY, NOW)}
