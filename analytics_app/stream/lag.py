"""How far the stored position lies behind the log: asked of Kafka and Postgres themselves, not of Faust."""

import asyncio
from dataclasses import dataclass

from analytics_app.db import batch_transaction
from analytics_app.settings import settings
from analytics_app.stream import store
from analytics_app.stream.log import kafka_log

ASK_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one partition stands: the next offset to store, and the end of its log."""

    position: int
    end: int

    @property
    def behind(self) -> int:
        """Records that are not stored yet."""
        return max(0, self.end - self.position)


def hits_topic() -> str:
    """The topic of hits, without the Faust app that would start with it."""
    return f"{settings().app_id}-hits"


async def standings(topic: str | None = None) -> dict[int, Standing]:
    """Where each partition of `topic` (the hits, unless said) stands.

    Raises `KafkaError` or TimeoutError where Kafka is away, `psycopg.OperationalError` where Postgres is.
    """
    name, partitions = topic or hits_topic(), range(settings().partitions)
    async with asyncio.timeout(ASK_WITHIN_S), kafka_log() as log:
        ends = await log.ends(name, partitions)
    async with batch_transaction() as db:
        known = await store.positions(db, name, partitions)
    return {
        partition: Standing(known[partition].next_offset if partition in known else 0, end)
        for partition, end in ends.items()
    }
