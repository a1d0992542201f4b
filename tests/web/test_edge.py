"""The edge while Kafka says nothing: every hit is answered in time, also one that comes when others are given up."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from analytics_app.errors import Unavailable

WITHIN_S = 0.2
KEY = "00000000" * 4


@pytest.fixture
def edge(monkeypatch):
    from web import edge as module

    conf = SimpleNamespace(partitions=1, acknowledge_within_s=WITHIN_S)
    monkeypatch.setattr(module, "settings", lambda: conf)
    made = module.Edge("hits")

    async def send(*_args, **_named):
        return asyncio.get_running_loop().create_future()  # never done

    made.producer = SimpleNamespace(send=send)
    yield made
    for task in made.sending.values():
        task.cancel()
    if made.flushing:
        made.flushing.cancel()


async def test_every_hit_is_refused_in_time_however_long_kafka_says_nothing(edge):
    for _ in range(4):  # the first is under way for all that time; the others wait behind it
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(edge.put(KEY, b"{}"), WITHIN_S * 3)
        assert time.monotonic() - began < WITHIN_S * 2
