"""What the consumer hands on: from where the last seek went, each record once and in order, whatever Faust fetched."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from analytics_app.stream.lag import hits_topic


@pytest.fixture
def consumer(monkeypatch):
    """A consumer without Kafka: it fetches the offsets of `fetched`, whatever partition they are of."""
    from analytics_app.transport import Consumer

    made = object.__new__(Consumer)
    made._due, made._read_offset, made.fetched = {}, defaultdict(lambda: None), []
    made._flowing, made._seeks, made.anew = set(), 0, []
    made._one_seek = asyncio.Lock()
    monkeypatch.setattr(Consumer, "_began_anew", lambda self, _tp, due, got: self.anew.append((due, got)))

    async def getmany(self, timeout):
        for partition, offset in self.fetched:
            yield TP(hits_topic(), partition), SimpleNamespace(offset=offset)

    monkeypatch.setattr(driver.Consumer, "getmany", getmany)
    return made


async def handed_on(consumer, *offsets, partition=0):
    consumer.fetched = [(partition, offset) for offset in offsets]
    return [message.offset async for _, message in consumer.getmany(1.0)]


async def test_nothing_passes_before_the_first_seek(consumer):
    assert await handed_on(consumer, 0, 1, 2) == []


async def test_what_was_fetched_before_a_seek_does_not_pass_and_what_the_seek_brings_does(consumer):
    consumer._due = {TP(hits_topic(), 0): 100}
    assert await handed_on(consumer, 120, 121, 98, 99, 100, 101, 102) == [100, 101, 102]
    assert await handed_on(consumer, 101, 102, 103) == [103]


async def test_a_record_handed_over_during_a_seek_does_not_keep_out_what_the_seek_brings_again(consumer):
    tp = TP(hits_topic(), 0)
    consumer._due = {tp: 100}
    consumer.fetched = [(0, 100), (0, 101)]
    async for _, message in consumer.getmany(1.0):
        if message.offset == 101:
            consumer._due = {tp: 100}  # a seek, while Faust hands the record to the agent …
        consumer._read_offset[tp] = message.offset  # … and then notes it as read
    consumer.fetched = [(0, 100), (0, 101), (0, 102)]
    passed = [consumer._read_offset[tp] async for _ in consumer.getmany(1.0)]
    assert passed == [None, None, None]


async def test_a_record_from_before_the_one_that_is_due_means_that_the_log_began_anew(consumer):
    consumer._due = {TP(hits_topic(), 0): 100}
    assert await handed_on(consumer, 98, 99, 100, 101) == [100, 101]
    assert consumer.anew == []  # fetched before the seek
    assert await handed_on(consumer, 0) == []
    assert consumer.anew == [(102, 0)]


async def test_what_comes_while_a_seek_is_under_way_is_no_sign_of_that(consumer):
    consumer._due = {TP(hits_topic(), 0): 100}
    async with consumer._one_seek:
        assert await handed_on(consumer, 100, 101, 90, 91) == [100, 101]
    assert consumer.anew == []


async def test_what_a_call_hands_on_from_before_a_seek_is_no_sign_of_that(consumer):
    tp = TP(hits_topic(), 0)
    consumer._due = {tp: 90}
    consumer.fetched = [(0, offset) for offset in range(90, 105)]
    passed = []
    async for _, message in consumer.getmany(1.0):
        passed.append(message.offset)
        if message.offset == 92:
            consumer._due, consumer._seeks = {tp: 100}, 1
            consumer._flowing.clear()
    assert passed == [90, 91, 92, *range(100, 105)]
    assert await handed_on(consumer, *range(100, 107)) == [105, 106]
    assert consumer.anew == []


async def test_partitions_are_kept_apart_and_other_topics_pass(consumer, monkeypatch):
    consumer._due = {TP(hits_topic(), 0): 5, TP(hits_topic(), 1): 7}
    assert await handed_on(consumer, 5, 6) == [5, 6]
    assert await handed_on(consumer, 5, 7, partition=1) == [7]
    monkeypatch.setattr("analytics_app.transport.stored_topics", lambda: ())
    assert await handed_on(consumer, 42) == [42]
