"""A dashboard's questions, asked once before anybody does.

Who asks first would wait for statements to be compiled and for a connection that has prepared nothing yet: two to three
times as long as who asks next.
"""

from datetime import timedelta
from zoneinfo import ZoneInfo

import structlog

from analytics_app import clock
from analytics_app.db import is_away, snapshot, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.stats import store
from analytics_app.stats.breakdown_store import breakdown
from analytics_app.stats.breakdowns import Sort
from analytics_app.stats.filters import dimension_named
from analytics_app.stats.logic import NEEDS, Metric
from analytics_app.stats.periods import Period, buckets_of
from analytics_app.stats.selection_store import EVERYTHING
from web.realtime import live_views

DAYS = timedelta(days=30)
METRICS: tuple[Metric, ...] = ("pageviews", "visitors")
DIMENSIONS = ("page", "source", "browser")

log = structlog.get_logger(__name__)


async def ask_beforehand() -> None:
    """Ask for the last 30 days of a website and throw the answers away. Raises nothing: who asks first waits, then."""
    await DEFINITIONS.ready()
    try:
        await _ask(next(iter(DEFINITIONS.snapshot.websites), 0))
    except Exception as error:
        if not is_away(error):
            log.exception("questions could not be asked beforehand")


async def _ask(website_id: int) -> None:
    end = clock.now()
    start = end.replace(hour=0, minute=0, second=0, microsecond=0) - DAYS
    buckets = buckets_of(Period(start, end, ZoneInfo("UTC")), "day")
    async with snapshot() as db:
        await store.totals(db, website_id, start, end)
        for metric in METRICS:
            await store.series(db, website_id, buckets, wanted=NEEDS[metric])
        for name in DIMENSIONS:
            dimension = dimension_named(name)
            await breakdown(db, website_id, start, end, EVERYTHING, dimension, sort=Sort(), limit=10)
    async with transaction() as db:
        await live_views(db, [website_id], end)
