"""What Kafka's log holds, asked over a connection of its own.

Faust's consumer would answer too, but each question waits its turn behind a fetch: 1.5 s of it when the topic is quiet.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from analytics_app.embedded.endpoints import resolve
from analytics_app.settings import settings
from analytics_app.stream.logic import Record


class Log:
    """Questions about partitions of topics. All raise `aiokafka.errors.KafkaError` where Kafka is away."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    async def starts(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The first offset that each partition still has."""
        return _plain(await self._consumer.beginning_offsets(_named(topic, partitions)))

    async def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The offset that the next record of each partition will have."""
        return _plain(await self._consumer.end_offsets(_named(topic, partitions)))

    async def since(self, topic: str, partitions: Iterable[int], at_ms: int) -> dict[int, int]:
        """The first offset of each partition at or after a time; its end where nothing came since."""
        asked = _named(topic, partitions)
        found = await self._consumer.offsets_for_times(dict.fromkeys(asked, at_ms))
        ends = await self._consumer.end_offsets(asked)
        return {tp.partition: ends[tp] if found.get(tp) is None else found[tp].offset for tp in asked}

    async def records(self, topic: str, offsets: Mapping[int, int]) -> dict[int, Record]:
        """By partition, the record at that offset, which the partition must have."""
        if not offsets:
            return {}
        wanted = {TopicPartition(topic, partition): offset for partition, offset in offsets.items()}
        self._consumer.assign(list(wanted))
        for tp, offset in wanted.items():
            self._consumer.seek(tp, offset)
        found: dict[int, Record] = {}
        while len(found) < len(wanted):
            missing = [tp for tp in wanted if tp.partition not in found]
            for tp, batch in (await self._consumer.getmany(*missing, timeout_ms=500)).items():
                found[tp.partition] = Record(tp.partition, batch[0].offset, batch[0].value)
        return found


@asynccontextmanager
async def kafka_log() -> AsyncIterator[Log]:
    """A connection to ask over. Raises `aiokafka.errors.KafkaError` where Kafka is away."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=resolve(settings()).kafka_bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    try:
        await consumer.start()
        yield Log(consumer)
    finally:
        await consumer.stop()


def _named(topic: str, partitions: Iterable[int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in partitions]


def _plain(offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
    return {tp.partition: offset for tp, offset in offsets.items()}
