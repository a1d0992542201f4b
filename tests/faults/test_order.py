"""What the consumer hands on: from where the last seek went, each record once and in order, whatever Faust fetched."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace

import pytest
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from analytics_app.stream.lag import hits_topic


@pytest.fixture
def consumer(monkeypatch):
    """A consumer without Kafka: it fetches the offsets of `fetched`, whatever partition they are of."""
    from analytics_app.transport import Consumer

    made = object.__new__(Consumer)
    made._due, made._read_offset, made.fetched = {}, defaultdict(lambda: None), []
    made._flowing, made._seeks, made._missed, made.ended = set(), 0, {}, []
    made._one_seek = asyncio.Lock()
    monkeypatch.setattr(Consumer, "_end", lambda self, why, _tp, due, got: self.ended.append((why, due, got)))

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
    assert consumer.ended == []  # fetched before the seek
    assert await handed_on(consumer, 0) == []
    assert consumer.ended == [("the log began anew", 102, 0)]


async def test_what_comes_while_a_seek_is_under_way_is_no_sign_of_that(consumer):
    consumer._due = {TP(hits_topic(), 0): 100}
    async with consumer._one_seek:
        assert await handed_on(consumer, 100, 101, 90, 91) == [100, 101]
    assert consumer.ended == []


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
    assert consumer.ended == []


async def test_records_behind_the_one_that_is_due_that_come_and_come_mean_that_it_was_passed_over(
    consumer, monkeypatch
):
    now = 100.0
    monkeypatch.setattr("analytics_app.transport.clock.monotonic", lambda: now)
    consumer._due = {TP(hits_topic(), 0): 100}
    assert await handed_on(consumer, 103, 104) == []
    now += 1.9
    assert await handed_on(consumer, 105) == []
    assert consumer.ended == [], "it may still come"
    now += 0.2
    async with consumer._one_seek:
        assert await handed_on(consumer, 106) == []
    assert consumer.ended == [], "a seek is under way"
    assert await handed_on(consumer, 107) == []
    assert consumer.ended == [("a record was passed over", 100, 107)]


async def test_one_that_comes_after_all_was_not_passed_over(consumer, monkeypatch):
    now = 100.0
    monkeypatch.setattr("analytics_app.transport.clock.monotonic", lambda: now)
    consumer._due = {TP(hits_topic(), 0): 100}
    assert await handed_on(consumer, 103, 100, 101) == [100, 101]
    now += 60
    assert await handed_on(consumer, 104) == []
    assert consumer.ended == [], "another one is due now"


class Log:
    """A consumer as the thread has it: where the next fetch of each partition begins."""

    def __init__(self, **positions):
        self.positions = positions
        self.asked, self.sought = asyncio.Event(), asyncio.Event()

    def seek(self, tp, offset):
        if tp not in self.positions:
            raise IllegalStateError(tp)
        self.positions[tp] = offset


@pytest.fixture
def thread(monkeypatch):
    """The consumer's thread without Kafka: a fetch waits to be asked, and takes two records of each partition."""
    from analytics_app.transport import ConsumerThread

    async def fetch(self, log, active, timeout=None, max_records=None):
        await log.asked.wait()
        taken = {tp: [SimpleNamespace(offset=at), SimpleNamespace(offset=at + 1)] for tp, at in log.positions.items()}
        log.positions = {tp: at + 2 for tp, at in log.positions.items()}
        return taken

    async def seek_wait(self, log, partitions):
        for tp, offset in partitions.items():
            log.seek(tp, offset)
        await log.sought.wait()

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_seek_wait", seek_wait)
    made = object.__new__(ConsumerThread)
    made._seeks = made._seeking = 0
    return made


def offsets(records):
    return {tp: [one.offset for one in some] for tp, some in records.items()}


async def overtaken(thread, log):
    """A fetch that waits while a seek goes to 3."""
    fetching = asyncio.create_task(thread._fetch_records(log, {"a"}))
    await asyncio.sleep(0)
    log.sought.set()
    await thread._seek_wait(log, {"a": 3})
    return fetching


async def test_what_a_fetch_takes_that_a_seek_overtook_is_there_for_the_next(thread):
    log = Log(a=7)
    given_up = await overtaken(thread, log)
    log.asked.set()
    assert await given_up == {}
    assert offsets(await thread._fetch_records(log, {"a"})) == {"a": [3, 4]}
    assert offsets(await thread._fetch_records(log, {"a"})) == {"a": [5, 6]}


async def test_nothing_is_handed_on_while_a_seek_is_under_way(thread):
    log = Log(a=7, b=1)
    log.asked.set()
    seeking = asyncio.create_task(thread._seek_wait(log, {"a": 3, "b": 1}))
    await asyncio.sleep(0)
    assert await thread._fetch_records(log, {"a", "b"}) == {}
    log.sought.set()
    await seeking
    assert offsets(await thread._fetch_records(log, {"a", "b"})) == {"a": [3, 4], "b": [1, 2]}


async def test_what_is_another_workers_by_then_is_not_put_back(thread):
    log = Log(a=7)
    fetching = await overtaken(thread, log)
    log.seek = lambda tp, _: (_ for _ in ()).throw(IllegalStateError(tp))
    log.asked.set()
    assert await fetching == {}


async def test_partitions_are_kept_apart_and_other_topics_pass(consumer, monkeypatch):
    consumer._due = {TP(hits_topic(), 0): 5, TP(hits_topic(), 1): 7}
    assert await handed_on(consumer, 5, 6) == [5, 6]
    assert await handed_on(consumer, 5, 7, partition=1) == [7]
    monkeypatch.setattr("analytics_app.transport.stored_topics", lambda: ())
    assert await handed_on(consumer, 42) == [42]
