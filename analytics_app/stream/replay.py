"""What failed, tried again: a failed record goes back to its topic, and counts once however often it is sent."""

from dataclasses import dataclass
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.db import transaction
from analytics_app.embedded.endpoints import resolve
from analytics_app.records import Reader, gather, read_raw_hits
from analytics_app.settings import settings
from analytics_app.stream.logic import UNREADABLE
from analytics_app.stream.models import FailedRecordRow
from analytics_app.stream.plans import reader_of

MOST_BYTES = 4 * 1024 * 1024
"""The largest record that Kafka takes here (`message.max.bytes` of the embedded one)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A record, or one hit of it, that was set aside."""

    id: int
    topic: str
    partition: int
    offset: int
    value: bytes
    error: str
    failed_at: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of trying again: ids sent back to their topic, and, by id, why others cannot be."""

    sent: list[int]
    refused: dict[int, str]


async def waiting(db: AsyncConnection, ids: list[int] | None = None, limit: int | None = None) -> list[Failed]:
    """The failed records that are neither replayed nor discarded, oldest first."""
    query = select(FailedRecordRow.__table__).where(FailedRecordRow.settled_at.is_(None)).order_by(FailedRecordRow.id)
    if ids is not None:
        query = query.where(FailedRecordRow.id.in_(ids))
    rows = await db.execute(query.limit(limit))
    return [
        Failed(row.id, row.topic, row.partition, row.offset, row.value, row.error, row.failed_at.isoformat())
        for row in rows
    ]


async def settle(db: AsyncConnection, ids: list[int], how: str) -> int:
    """Note that failed records are `replayed` or `discarded`; returns how many."""
    answer = await db.execute(
        update(FailedRecordRow)
        .where(FailedRecordRow.id.in_(ids), FailedRecordRow.settled_at.is_(None))
        .values(settled_at=func.now(), settled_as=how)
    )
    return answer.rowcount


async def replay(ids: list[int] | None = None) -> Replayed:
    """Send failed records (all, or those of `ids`) back to their topic; returns once Kafka has them.

    The record is written under a writer's name of its own, so a second replay of it, after a kill between sending and
    noting, is recognised as a repeat. What cannot be read still is not sent.
    """
    async with transaction() as db:
        found = await waiting(db, ids)
    refused: dict[int, str] = {}
    sent: list[int] = []
    producer = AIOKafkaProducer(
        bootstrap_servers=resolve(settings()).kafka_bootstrap, acks="all", max_request_size=MOST_BYTES
    )
    await producer.start()
    try:
        for one in found:
            try:
                hits = _hits_of(one.value, reader_of(one.topic))
            except UNREADABLE as error:
                refused[one.id] = str(error)
                continue
            await producer.send_and_wait(one.topic, gather(f"failed:{one.id}", 0, hits), partition=one.partition)
            async with transaction() as db:
                await settle(db, [one.id], "replayed")
            sent.append(one.id)
    finally:
        await producer.stop()
    return Replayed(sent, refused)


def _hits_of(value: bytes, reader: Reader[Any]) -> list[bytes]:
    """The hits of a failed record, or the one hit that it is. Raises `msgspec.DecodeError` where one is wrong still."""
    try:
        hits = [bytes(hit) for hit in read_raw_hits(value).hits]
    except msgspec.ValidationError:
        hits = [value]
    for hit in hits:
        reader.item(hit)
    return hits
