"""Negative controls: with a safeguard taken out, the same comparison finds what is lost or wrong.

What is taken out is taken out by `tests.faults.sabotage`, in a worker of its own on topics of its own.
"""

import asyncio
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.faults.compare import differences
from tests.faults.hits import hit, record, session_of
from tests.faults.load import Journal, Sent
from tests.faults.rig import PARTITIONS, Rig, environment

STARTS = 4
DECIDED_WITHIN_S = 120.0
RECORDS = 12


class Control:
    """A worker under an app id of its own: its topics, its group in Kafka, its website."""

    def __init__(self, rig: Rig, folder: Path, words: list[str]) -> None:
        self.rig, self.words = rig, words
        self.app_id = f"control-{secrets.token_hex(4)}"
        self.topic = f"{self.app_id}-hits"
        self.log = folder / f"{self.app_id}.log"
        self.environment = environment(
            folder / self.app_id,
            ANALYTICS_APP_ID=self.app_id,
            ANALYTICS_KAFKA_BOOTSTRAP_SERVERS=rig.endpoints["kafka_bootstrap"],
            ANALYTICS_DATABASE_URL=rig.endpoints["database_url"],
            ANALYTICS_ROLE="worker",
            ANALYTICS_STALLED_AFTER_S="25",
        )
        self.waited = folder / self.app_id / "waited"
        self.journal = Journal()
        self.website_id = 0

    async def prepare(self) -> None:
        """Make its topics and website, and put hits of some sessions into every partition."""
        (self.log.parent / self.app_id).mkdir()
        await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "analytics_app", "topics"],
            env=self.environment, check=True, capture_output=True,
        )  # fmt: skip
        self.website_id, _ = await self.rig.website(self.app_id)
        for partition in range(PARTITIONS):
            session = session_of(partition)
            hits = [
                hit(self.website_id, session, path=f"/{number}", client_id=secrets.token_hex(16))
                for number in range(RECORDS)
            ]
            for one in hits:
                sent = Sent(self.website_id, session, session, one.path, "", one.event_id, attempts=1)
                self.journal.hits[str(one.client_id)] = sent
            await self.rig.put([record([one]) for one in hits], partition, self.topic)

    async def commit(self, offsets: dict[int, int]) -> None:
        """Have Kafka believe that so much was done; Postgres says that nothing was."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.rig.endpoints["kafka_bootstrap"], group_id=self.app_id, enable_auto_commit=False
        )
        await consumer.start()
        try:
            given = {TopicPartition(self.topic, partition): offset for partition, offset in offsets.items()}
            consumer.assign(list(given))
            await consumer.commit(given)
        finally:
            await consumer.stop()
        for partition in offsets:
            await self.rig.query(
                "INSERT INTO stream_positions (topic, partition, next_offset) VALUES (%s, %s, 0)", self.topic, partition
            )

    @contextmanager
    def _worker(self) -> Iterator["subprocess.Popen[bytes]"]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.sabotage", *self.words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self.environment,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    async def run(self) -> list[str]:
        """Run the worker, and again when it ends, until all is stored or it ended too often; returns what differs."""
        until = time.monotonic() + DECIDED_WITHIN_S
        for _ in range(STARTS):
            with self._worker() as process:
                if "wait-once" in self.words and not self.waited.exists():
                    await self._stop_once_it_waits(process)
                    continue
                while process.poll() is None and time.monotonic() < until:
                    if await self.is_drained():
                        return await differences(self.rig, self.journal, [self.website_id])
                    await asyncio.sleep(0.5)
            if any(sign in self.last_words() for sign in ("Gap(", "none is stored")):
                break  # it went on behind what is not stored, and will again
        return await differences(self.rig, self.journal, [self.website_id])

    async def _stop_once_it_waits(self, process: "subprocess.Popen[bytes]") -> None:
        """Stop it politely with its first batch in hand."""
        until = time.monotonic() + DECIDED_WITHIN_S
        while not self.waited.exists():
            assert process.poll() is None, self.last_words()
            assert time.monotonic() < until, self.last_words()
            await asyncio.sleep(0.2)
        await asyncio.sleep(1)
        process.terminate()
        await asyncio.to_thread(process.wait, 40)

    async def is_drained(self) -> bool:
        """Whether everything in its topic is stored."""
        positions = await self.rig.positions(self.topic)
        return all(positions[partition] >= RECORDS for partition in range(PARTITIONS))

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-8000:]


async def outcomes(rig: Rig, folder: Path, *words: str, ahead: int | None = None) -> tuple[list[str], str]:
    """What differs after a worker with these sabotages, and what it said. `ahead` seeds what Kafka believes."""
    control = Control(rig, folder, list(words))
    await control.prepare()
    if ahead is not None:
        chance = random.Random(ahead)
        await control.commit({partition: chance.randint(1, RECORDS) for partition in range(PARTITIONS)})
    return await control.run(), control.last_words()


async def test_without_the_seek_hits_that_kafka_believes_done_are_lost(rig: Rig, tmp_path: Path) -> None:
    (sound, said), *lost = await asyncio.gather(
        outcomes(rig, tmp_path, ahead=1),
        outcomes(rig, tmp_path, "no-seek", ahead=1),
        outcomes(rig, tmp_path, "no-seek", ahead=2),
    )
    assert not sound, (sound, said)
    for found, _ in lost:
        assert any("is lost" in difference for difference in found), found


async def test_take_loses_the_batch_in_hand_of_a_worker_that_is_stopped_unless_postgres_owns_the_position(
    rig: Rig, tmp_path: Path
) -> None:
    (lost, taking), (kept, said), (covered, covering) = await asyncio.gather(
        outcomes(rig, tmp_path, "take", "no-seek", "wait-once"),
        outcomes(rig, tmp_path, "no-seek", "wait-once"),
        outcomes(rig, tmp_path, "take", "wait-once"),
    )
    assert any("is lost" in difference for difference in lost), (lost, taking)
    assert not kept, (kept, said)  # so it was `take`
    assert not covered, (covered, covering)  # the seek mends even that


@pytest.mark.parametrize("seed", range(1, 7))
async def test_without_the_version_a_table_that_is_behind_ruins_sessions(
    database: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    assert await Owners(monkeypatch, seed, trusts=False).differences() == []
    assert await Owners(monkeypatch, seed, trusts=True).differences() != []


class Owners:
    """Two workers that take turns on a partition, each with a table that only it writes, and some kills."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int, *, trusts: bool) -> None:
        from agents import sessions as agent
        from agents.sink import Sink
        from analytics_app.sessions.state import Rules, decode_state

        self.random = random.Random(seed)
        self.website_id = 3_000_000 + seed * 10 + trusts
        self.topic = f"owners-{secrets.token_hex(4)}"
        self.sink = Sink(self.topic, agent.write)
        self.tables: list[dict[str, object]] = [{}, {}]
        self.owner = 0
        states_of = agent.store.states_of

        async def trusting(db, held):
            states = await states_of(db, dict.fromkeys(held))
            return states | {key: decode_state(copy.state) for key, copy in held.items() if copy is not None}

        async def tell(_seen):
            pass

        monkeypatch.setattr(
            agent.sessions, "held", lambda keys: {key: self.tables[self.owner].get(key) for key in keys}
        )
        monkeypatch.setattr(agent, "_tell", tell)
        monkeypatch.setattr(agent.DEFINITIONS, "rules", lambda: lambda _website_id: Rules())
        if trusts:
            monkeypatch.setattr(agent.store, "states_of", trusting)
        else:
            monkeypatch.setattr(agent.store, "states_of", states_of)

    async def differences(self) -> list[object]:
        """What a recount finds after 60 batches."""
        from analytics_app.db import snapshot
        from analytics_app.stream.logic import Record
        from analytics_app.verify.store import recount

        sessions = [session_of(0) for _ in range(4)]
        now_ms = round(time.time() * 1000)
        for offset in range(60):
            if self.random.random() < 0.3:
                self.owner = 1 - self.owner
            hits = [
                hit(self.website_id, self.random.choice(sessions), at_ms=now_ms + 1000 * offset, path=f"/{offset}")
                for _ in range(self.random.randint(1, 3))
            ]
            written = await self.sink.store(0, [Record(offset, record(hits))])
            if self.random.random() < 0.2:
                continue  # killed before the table was written
            for one in written:
                self.tables[self.owner].update(one.after.held)
        async with snapshot() as db:
            return list(await recount(db, bounce_engaged_s=10, website_ids=[self.website_id]))
