from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from analytics_app import clock
from analytics_app.jobs import runner


@pytest.fixture
def postgres_says(monkeypatch):
    """Sets how far Postgres' clock is from ours."""

    @asynccontextmanager
    async def transaction():
        yield None

    def say(off):
        async def time(_db):
            return clock.now() + off

        monkeypatch.setattr(runner, "transaction", transaction)
        monkeypatch.setattr(runner.store, "time", time)

    return say


async def test_jobs_go_by_the_time_that_both_clocks_agree_on(postgres_says):
    postgres_says(timedelta(minutes=-2))
    agreed = await runner.agreed_time()
    assert agreed is not None
    assert clock.now() - agreed >= timedelta(minutes=2)


@pytest.mark.parametrize("off", [timedelta(days=2), timedelta(days=-2), timedelta(minutes=6)])
async def test_no_job_is_run_where_one_clock_is_wrong(postgres_says, off):
    postgres_says(off)
    assert await runner.agreed_time() is None
