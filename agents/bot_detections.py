"""From what the edge detected to rows."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from faust.types import EventT, StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import by_partition
from agents.sink import Sink, Written
from analytics_app import removal, topics
from analytics_app.app import app
from analytics_app.bots import store
from analytics_app.db import AsyncDriver
from analytics_app.definitions import DEFINITIONS
from analytics_app.records import DETECTIONS, Detection
from analytics_app.settings import settings
from analytics_app.stream.logic import Record


async def write(db: AsyncDriver, _: int, detections: Sequence[Detection]) -> Written:
    """Store detections of websites that there are, in the transaction of `db`."""
    admitted, left_out = await removal.admitted(db, detections)
    known = [one for one in admitted if DEFINITIONS.website(one.website_id) is not None]
    stored = await store.add_detections(db, known)
    outcomes = Counter({f"ignored_{reason}": count for reason, count in left_out.items()})
    outcomes.update(stored=stored, duplicate=len(known) - stored, ignored_website_gone=len(admitted) - len(known))
    return Written(outcomes)


sink = Sink(topics.bot_detections.get_topic_name(), write, DETECTIONS)


async def store_partition(partition: int, events: Sequence[EventT[Any]]) -> None:
    """Store one partition's part of a batch."""
    await sink.store(partition, [Record(event.message.offset, event.message.value or b"") for event in events])


@app.agent(topics.bot_detections, name="bot_detections", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def store_detections(stream: StreamT[bytes]) -> None:
    """Store what the edge judged odd or a bot's."""
    await DEFINITIONS.ready()
    async for events in stream.noack_take(settings().batch_records, within=settings().batch_within_s):
        await asyncio.gather(*(store_partition(partition, group) for partition, group in by_partition(events).items()))
        for event in events:
            event.ack()
