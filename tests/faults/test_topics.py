"""Kafka's own account is wrong: committed offsets that were made up, a topic that was deleted and made anew."""

import asyncio
import random
import signal

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, KafkaError

from tests.faults.rig import PARTITIONS, Rig
from tests.faults.story import under_load

GROUP = "analytics"


async def commit(rig: Rig, topic: str, group: str, offsets: dict[int, int], within_s: float = 40.0) -> None:
    """Have Kafka believe that so much was done; possible once nobody is in the group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=rig.endpoints["kafka_bootstrap"], group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        given = {TopicPartition(topic, partition): offset for partition, offset in offsets.items()}
        consumer.assign(list(given))
        until = asyncio.get_running_loop().time() + within_s
        while True:
            try:
                await consumer.commit(given)
            except (CommitFailedError, KafkaError):  # somebody is in it still
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(1)
            else:
                return
    finally:
        await consumer.stop()


async def test_committed_offsets_that_were_made_up_change_nothing(rig: Rig, seed: int) -> None:
    chance = random.Random(seed)
    async with under_load(rig, "committed offsets falsified", seed, after_s=8):
        for which in range(2):
            await rig.signal("worker", signal.SIGSTOP, which=which)
        ends = await rig.ends(rig.hits_topic)
        false = {partition: chance.randint(0, end) for partition, end in ends.items()}
        await asyncio.sleep(16)  # the group forgets its workers
        await commit(rig, rig.hits_topic, GROUP, false)
        rig.note(f"committed offsets set to {false} of {ends}")
        for which in range(2):
            await rig.signal("worker", signal.SIGCONT, which=which)


async def recreate(rig: Rig, topic: str, partitions: int = PARTITIONS) -> None:
    """Delete a topic, and have it made anew by the service's own command."""
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.endpoints["kafka_bootstrap"])
    await admin.start()
    try:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():
            await asyncio.sleep(0.2)
        rig.note(f"{topic} deleted")
    finally:
        await admin.close()


@pytest.mark.long
async def test_a_topic_that_was_deleted_and_made_anew_is_noticed_and_read_from_its_beginning(rig: Rig) -> None:
    async with under_load(rig, "before the topic was deleted", 41):
        await asyncio.sleep(5)
    (before,) = await rig.query("SELECT coalesce(max(id), 0) FROM stream_losses")
    await recreate(rig, rig.hits_topic)
    made = await asyncio.to_thread(rig.run, "topics")
    assert made.stdout.split() == ["made", rig.hits_topic], made
    async with under_load(rig, "after the topic was made anew", 42, warm_s=0, after_s=20):
        pass
    noted = await rig.query(
        "SELECT DISTINCT partition FROM stream_losses WHERE id > %s AND topic = %s", before[0], rig.hits_topic
    )
    assert len(noted) == PARTITIONS, noted
