"""Sending on what other agents need, before the batch that it comes from is committed."""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka.errors import KafkaError

TOLD_WITHIN_S = 5.0


async def told(topic: Any, records: Iterable[tuple[bytes, bytes, int]]) -> None:
    """Send those (key, value, partition) to `topic`; returns once Kafka has them.

    Raises `KafkaError` or TimeoutError where it does not take them, whatever the reason: no hit is to blame for a
    producer that is away, or was stopped while this process ends. Told twice, it must make no difference.
    """
    try:
        async with asyncio.timeout(TOLD_WITHIN_S):
            sent = [await topic.send(key=key, value=value, partition=partition) for key, value, partition in records]
            # Shielded: Faust cannot bear that a record it has under way is cancelled.
            await asyncio.gather(*map(asyncio.shield, sent))
    except (KafkaError, TimeoutError):
        raise
    except Exception as error:
        raise KafkaError(f"what was seen cannot be told: {error!r}") from error
