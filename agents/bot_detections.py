"""From what the edge detected to rows."""

from collections import Counter
from collections.abc import Sequence

from faust.types import StreamT
from mode.supervisors import CrashingSupervisor

from agents.batches import records_of
from agents.sink import Sink, Written
from analytics_app import removal, topics
from analytics_app.app import app
from analytics_app.bots import store
from analytics_app.db import AsyncDriver
from analytics_app.definitions import DEFINITIONS
from analytics_app.records import DETECTIONS, Detection
from analytics_app.settings import settings


async def write(db: AsyncDriver, detections: Sequence[Detection], _partitions: Sequence[int]) -> Written:
    """Store detections of websites that there are, in the transaction of `db`."""
    admitted, left_out = await removal.admitted(db, detections)
    known = [one for one in admitted if DEFINITIONS.website(one.website_id) is not None]
    stored = await store.add_detections(db, known)
    outcomes = Counter({f"ignored_{reason}": count for reason, count in left_out.items()})
    outcomes.update(stored=stored, duplicate=len(known) - stored, ignored_website_gone=len(admitted) - len(known))
    return Written(outcomes)


sink = Sink(topics.bot_detections.get_topic_name(), write, DETECTIONS)


@app.agent(topics.bot_detections, name="bot_detections", concurrency=1, supervisor_strategy=CrashingSupervisor)
async def store_detections(stream: StreamT[bytes]) -> None:
    """Store what the edge judged odd or a bot's."""
    await DEFINITIONS.ready()
    async for events in stream.noack_take(settings().batch_records, within=settings().batch_within_s):
        await sink.store(records_of(events))
        for event in events:
            event.ack()
