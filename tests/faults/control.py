"""A worker, and where it is asked for a web process, of an app id of its own, with safeguards taken out."""

import asyncio
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.faults.compare import differences
from tests.faults.hits import hit, record, sent_again, session_of
from tests.faults.load import Journal, Sent
from tests.faults.proxy import Link
from tests.faults.rank import beneath
from tests.faults.rig import PARTITIONS, Rig, environment, free_port

STARTS = 4
DECIDED_WITHIN_S = 120.0
RECORDS = 12
TITLE_BYTES = 400


class Control:
    """Its topics, its group in Kafka, its website, its own way to Postgres; `words` are the sabotages."""

    whole = False
    """Whether its website has funnels: who counts them is itself under test."""

    def __init__(self, rig: Rig, folder: Path, *words: str, **settings: str) -> None:
        self.rig, self.words = rig, list(words)
        self.app_id = f"control-{secrets.token_hex(4)}"
        self.topic = f"{self.app_id}-hits"
        self.folder = folder / self.app_id
        self.log = folder / f"{self.app_id}.log"
        self.link = Link("postgres", lambda: rig.own_port("postgres"))
        url = str(rig.endpoints["database_url"])
        self.environment = environment(
            self.folder,
            ANALYTICS_APP_ID=self.app_id,
            ANALYTICS_KAFKA_BOOTSTRAP_SERVERS=rig.endpoints["kafka_bootstrap"],
            ANALYTICS_DATABASE_URL=url.replace(f":{rig.links['postgres'].port}/", f":{self.link.port}/"),
            ANALYTICS_ROLE="worker",
            ANALYTICS_STALLED_AFTER_S="15",
            **settings,
        )
        self.waited = self.folder / "waited"
        self.journal = Journal()
        self.website_id, self.key = 0, ""
        self.put = 0

    async def close(self) -> None:
        """Take its surroundings away; funnels that are wrong on purpose would be found in every story after it."""
        self.link.close()
        if self.whole:
            for (funnel_id,) in await self.rig.query("SELECT id FROM funnels WHERE website_id = %s", self.website_id):
                await self.rig.query("DELETE FROM funnel_runs WHERE funnel_id = %s", funnel_id)
                await self.rig.call("DELETE", f"/analytics/websites/{self.website_id}/funnels/{funnel_id}")

    async def prepare(self) -> None:
        """Make its topics and website, and put hits of some sessions into every partition."""
        self.folder.mkdir()
        await self.make_topics()
        self.website_id, self.key = await self.rig.website(self.app_id, whole=self.whole)
        await self.put_hits()

    async def make_topics(self) -> None:
        """Make those that are missing."""
        command = [sys.executable, "-m", "analytics_app", "topics"]
        await asyncio.to_thread(subprocess.run, command, env=self.environment, check=True, capture_output=True)

    async def put_hits(self, *, twice: bool = False, again: bool = False) -> None:
        """Put RECORDS records of a hit each into every partition, all of one session.

        `twice`, as a producer may; `again`, as a client may, whose hit got another event id then.
        """
        for partition in range(PARTITIONS):
            session = session_of(partition)
            hits = [
                hit(
                    self.website_id,
                    session,
                    path=f"/page/{number}",
                    client_id=secrets.token_hex(16),
                    title=secrets.token_hex(TITLE_BYTES),  # it wants room of its own
                )
                for number in range(RECORDS)
            ]
            for one in hits:
                sent = Sent(self.website_id, session, session, one.path, "", one.event_id, attempts=1)
                self.journal.hits[str(one.client_id)] = sent
            records = [record([one]) for one in hits]
            repeated = [record([sent_again(one)]) for one in hits] if again else []
            await self.rig.put([one for one in records for _ in range(1 + twice)] + repeated, partition, self.topic)
        self.put += RECORDS * (1 + twice + again)

    @contextmanager
    def process(self, role: str = "worker", **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
        """One process of it, killed at the end."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*beneath(), sys.executable, "-m", "tests.faults.sabotage", *self.words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**self.environment, "ANALYTICS_ROLE": role, **settings},
            )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def web(self) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
        """A web process of it and its address; ready."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        with self.process("web", ANALYTICS_HOST="127.0.0.1", ANALYTICS_PORT=str(port)) as process:
            until = time.monotonic() + 120
            while not _answers(f"{address}/health/ready"):
                assert process.poll() is None, self.last_words()
                assert time.monotonic() < until, self.last_words()
                time.sleep(0.2)
            yield process, address

    async def run(self, within_s: float = DECIDED_WITHIN_S) -> list[str]:
        """Run the worker, and again when it ends, until all is stored or it ended too often; returns what differs."""
        until = time.monotonic() + within_s
        for _ in range(STARTS):
            with self.process() as process:
                if "wait-once" in self.words and not self.waited.exists():
                    await self._stop_once_it_waits(process)
                    continue
                while process.poll() is None and time.monotonic() < until:
                    if await self.is_drained():
                        return await self.differences()
                    await asyncio.sleep(0.5)
            passes = {"stuck-once", "pass-over-once"} & set(self.words)
            if any(sign in self.last_words() for sign in ("Gap(", "none is stored")) and not passes:
                break  # it went on behind what is not stored, and will again
        return await self.differences()

    async def differences(self) -> list[str]:
        """What differs from what was put; a good hit that was set aside is a difference too."""
        aside = await self.rig.query("SELECT error FROM failed_records WHERE topic = %s", self.topic)
        found = await differences(self.rig, self.journal, [self.website_id])
        return [*found, *(f"a good hit was set aside: {error[:200]}" for (error,) in aside)]

    async def _stop_once_it_waits(self, process: "subprocess.Popen[bytes]") -> None:
        """Stop it politely with its first batch in hand."""
        await until(self.waited.exists, process, self)
        await asyncio.sleep(1)
        process.terminate()
        await asyncio.to_thread(process.wait, 40)

    async def is_drained(self) -> bool:
        """Whether everything in its topic is stored; it is not while Postgres comes up again."""
        try:
            positions = await self.rig.positions(self.topic)
        except psycopg.OperationalError:
            return False
        if not all(positions[partition] >= self.put for partition in range(PARTITIONS)):
            return False
        told = f"{self.app_id}-visitor-events"
        return not self.whole or await self.rig.positions(told) == await self.rig.ends(told)

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-8000:]


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], process: "subprocess.Popen[bytes]", control: Control
) -> None:
    """Returns when the condition holds. Raises AssertionError where the process ends first, or it takes too long."""
    last = time.monotonic() + DECIDED_WITHIN_S
    while True:
        holds = condition()
        if await holds if isinstance(holds, Awaitable) else holds:
            return
        assert process.poll() is None, control.last_words()
        assert time.monotonic() < last, control.last_words()
        await asyncio.sleep(0.2)


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=3):
        return True
    return False


async def outcomes(
    rig: Rig, folder: Path, *words: str, before: Callable[[Control], Awaitable[None]] | None = None, **settings: str
) -> tuple[list[str], str]:
    """What differs after a worker with these sabotages, and what it said. `before`: what happens to it first."""
    control = Control(rig, folder, *words, **settings)
    try:
        await control.prepare()
        if before is not None:
            await before(control)
        return await control.run(), control.last_words()
    finally:
        control.link.close()
