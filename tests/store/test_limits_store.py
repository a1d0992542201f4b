"""The common budget in Postgres, drawn on by several processes at once."""

import asyncio
import time

import psycopg
import pytest

from analytics_app.errors import RateLimited
from analytics_app.limits.logic import Limit

A, B = 1, 2


@pytest.fixture
def processes(database):
    """Makes web processes' limits on an empty budget; two in one loop stand for two processes."""
    from web.limits import Limits

    with psycopg.connect(database, autocommit=True) as db:
        db.execute("TRUNCATE rate_budgets")

    def make(limit: Limit, count: int = 2) -> list[Limits]:
        return [Limits(limit) for _ in range(count)]

    return make


async def is_taken(process, key: int = A) -> bool:
    try:
        await process.take(key)
    except RateLimited:
        return False
    return True


async def flood(process, key: int, calls: int, at_once: int = 25) -> int:
    """How many of the calls are taken."""
    total = 0
    for _ in range(0, calls, at_once):
        total += sum(await asyncio.gather(*(is_taken(process, key) for _ in range(at_once))))
    return total


async def test_two_processes_together_take_the_limit_to_within_a_lease(processes):
    limit = Limit(4000, 60)
    one, two = processes(limit)
    taken = sum(await asyncio.gather(flood(one, A, 5000), flood(two, A, 3000)))
    assert limit.count - limit.most_leased <= taken <= limit.count


async def test_a_limit_of_ten_lets_ten_pass(processes):
    one, two = processes(Limit(10, 60))
    assert [await is_taken((one, two)[i % 2]) for i in range(14)] == [True] * 10 + [False] * 4
    with pytest.raises(RateLimited) as refused:
        await one.take(A)
    headers = refused.value.headers
    assert (headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == ("10", "0")
    assert 50 <= int(headers["Retry-After"]) <= 60
    assert headers["RateLimit-Reset"] == headers["Retry-After"]


async def test_a_modest_key_is_never_refused_beside_a_greedy_one(processes):
    limit = Limit(2000, 60)
    one, two = processes(limit)

    async def modest() -> list[bool]:
        taken = []
        for _ in range(20):
            taken.append(await is_taken(two, B))
            await asyncio.sleep(0.02)
        return taken

    greedy, asked = await asyncio.gather(flood(one, A, 6000), modest())
    assert asked == [True] * 20
    assert greedy <= limit.most_for_one + limit.most_leased


async def test_a_key_that_comes_after_a_greedy_one_finds_its_share(processes):
    limit = Limit(1000, 60)
    one, two = processes(limit)
    assert await flood(one, A, 1500) == 1000
    assert await flood(two, B, 1500) == 500


async def test_a_window_that_is_over_makes_room(processes):
    (one,) = processes(Limit(5, 1), 1)
    assert sum([await is_taken(one) for _ in range(9)]) == 5
    await asyncio.sleep(1.1)
    assert sum([await is_taken(one) for _ in range(9)]) == 5


async def test_off_takes_everything(processes):
    (one,) = processes(None, 1)
    assert await flood(one, A, 2000, at_once=1000) == 2000


async def test_held_tokens_are_taken_without_waiting_for_anybody(processes):
    (one,) = processes(Limit(10_000_000, 60), 1)
    await one.take(A)
    for _ in range(10_000):
        with pytest.raises(StopIteration):
            one.take(A).send(None)


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_without_postgres_a_process_goes_on_with_its_part(processes, monkeypatch, how):
    from sqlalchemy.exc import OperationalError

    from analytics_app.limits import store

    limit = Limit(400, 60)
    (one,) = processes(limit, 1)
    await one.take(A)

    async def away(*_):
        if how == "hangs":
            await asyncio.sleep(3600)
        raise OperationalError("select", {}, psycopg.OperationalError("gone"))

    monkeypatch.setattr(store, "lease", away)
    began = time.monotonic()
    assert 380 <= await flood(one, A, 600) <= 400
    assert time.monotonic() - began < 2
    if one._renewing is not None:
        one._renewing.cancel()
