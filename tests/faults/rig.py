"""The whole service as `analytics up` runs it, on a folder of its own, and the means to hurt it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from analytics_app.embedded import state
from analytics_app.embedded.layout import Layout
from tests.faults.defined import EXPERIMENT, FUNNELS, GOALS, VARIANTS, Trial
from tests.faults.disk import Disk
from tests.faults.proxy import Link
from tests.faults.rank import beneath

TOKEN = "faults-admin-token"
PARTITIONS = 4
STARTED_WITHIN_S = 180.0
DRAINED_WITHIN_S = 120.0


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """The environment of a service's process: nothing of this test run's own settings, and no rate limit."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ANALYTICS_") and name not in ("DATABASE_URL", "PORT")
    }
    return {
        **inherited,
        "ANALYTICS_DATA_DIR": str(data_dir),
        "ANALYTICS_BOOTSTRAP_TOKEN": TOKEN,
        "ANALYTICS_SECRET": "a secret of the fault tests",
        "ANALYTICS_TRACKING_RATE_LIMIT": "off",
        "ANALYTICS_BOTS_BEHAVIOUR": "off",  # one address sends for all
        "ANALYTICS_PARTITIONS": str(PARTITIONS),
        **more,
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rig:
    """`analytics up` with two web and two worker processes, its servers behind proxies and on disks of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.log = folder / "up.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.told: list[str] = []
        self.figures: list[str] = []
        self.trials: dict[int, Trial] = {}
        self.links = {name: Link(name, lambda name=name: self.own_port(name)) for name in ("kafka", "postgres")}
        self.disks = {name: Disk(self.data_dir / name) for name in ("kafka", "postgres")}
        self.no_disks = ""
        try:
            for disk in self.disks.values():
                disk.mount()
        except (OSError, subprocess.CalledProcessError) as error:
            self.no_disks = str(error)

    # Running.

    def start(self) -> None:
        """Start the service; returns when it is ready."""
        proxies = [str(self.links[name].port) for name in ("kafka", "postgres")]
        command = [*beneath(), sys.executable, "-m", "tests.faults.up", *proxies, "up", "--host", "127.0.0.1"]
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), "--web", "2", "--workers", "2", "--no-demo"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(self.data_dir),
                start_new_session=True,
            )
        until = time.monotonic() + STARTED_WITHIN_S
        while "Running at" not in self.said(before):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the service did not start:\n{self.said(before)[-6000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def close(self) -> None:
        """Stop it, and take its surroundings away."""
        self.stop()
        for link in self.links.values():
            link.close()
        for disk in self.disks.values():
            disk.unmount()

    def heal(self) -> None:
        """Whatever a story did to links and disks is over."""
        for link in self.links.values():
            link.heal()
        for disk in self.disks.values():
            if disk.is_mounted:
                disk.free()
        for role in ("web", "worker", "kafka", "postgres", "supervisor"):
            for pid in self.pids(role):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def said(self, since: int = 0) -> str:
        """What it wrote since so many bytes of its log."""
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def note(self, what: str) -> None:
        """Remember what was done to it, for whoever reads a failure."""
        self.told.append(f"{time.strftime('%H:%M:%S')} {what}")

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command of `analytics`, beside the running service."""
        return subprocess.run(
            [*beneath(), sys.executable, "-m", "analytics_app", *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=environment(self.data_dir, COLUMNS="200"),
        )

    def pids(self, role: str) -> list[int]:
        """The processes of a role, as `analytics ps` tells them."""
        return [one.pid for one in state.living(Layout(self.data_dir)) if one.role == role]

    def joined(self, role: str, name: str, *words: str, **settings: str) -> "subprocess.Popen[bytes]":
        """One more process of `role` beside those that the supervisor keeps; `words` are its sabotages."""
        own = {"ANALYTICS_ROLE": role, "ANALYTICS_WORKER_NAME": name, "ANALYTICS_HOST": "127.0.0.1", **settings}
        with (self.folder / f"{name}.log").open("ab") as log:
            module = ("tests.faults.sabotage", *words) if words else ("analytics_app.process",)
            return subprocess.Popen(
                [*beneath(), sys.executable, "-m", *module],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment(self.data_dir, **own),
            )  # fmt: skip

    # Hurting.

    async def signal(self, role: str, number: signal.Signals, which: int = 0, within_s: float = 30.0) -> int:
        """Send a signal to a process of `role`; waits for one to be there. Returns its id."""
        until = time.monotonic() + within_s
        while not (pids := self.pids(role)):
            if time.monotonic() > until:
                raise AssertionError(f"there is no {role} process")
            await asyncio.sleep(0.2)
        pid = pids[which % len(pids)]
        self.note(f"{number.name} to {role} {pid}")
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    async def kill(self, role: str, which: int = 0) -> int:
        """SIGKILL a process of `role`."""
        return await self.signal(role, signal.SIGKILL, which)

    # Looking.

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoints(self) -> dict[str, Any]:
        """Addresses of its Kafka and Postgres."""
        found: dict[str, Any] = json.loads((self.data_dir / "endpoints.json").read_text())
        return found

    def own_port(self, name: str) -> int:
        """Where Kafka or Postgres itself listens, behind its proxy."""
        return int(self.endpoints[f"{name}_port"])

    @property
    def database_url(self) -> str:
        """Postgres itself, behind its proxy."""
        through = f":{self.links['postgres'].port}/"
        return str(self.endpoints["database_url"]).replace(through, f":{self.own_port('postgres')}/")

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that a hit's numbers go through, each after what it comes from."""
        return self.hits_topic, "analytics-visitor-events", "analytics-exposures"

    @property
    def hits_topic(self) -> str:
        """The topic of hits."""
        return "analytics-hits"

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What Postgres answers."""
        with psycopg.connect(self.database_url, connect_timeout=10, options="-c timezone=UTC", autocommit=True) as db:
            answer = db.execute(query.encode(), values or None)
            return answer.fetchall() if answer.description else []

    async def query(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The same, beside the loop."""
        return await asyncio.to_thread(self.rows, query, *values)

    async def ends(self, topic: str) -> dict[int, int]:
        """The end of each partition's log."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.endpoints["kafka_bootstrap"], enable_auto_commit=False)
        await consumer.start()
        try:
            found = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
        finally:
            await consumer.stop()
        return {tp.partition: end for tp, end in found.items()}

    async def positions(self, topic: str) -> dict[int, int]:
        """The next offset to be stored, of each partition."""
        found = dict.fromkeys(range(PARTITIONS), 0)
        rows = await self.query("SELECT partition, next_offset FROM stream_positions WHERE topic = %s", topic)
        return found | dict(rows)

    async def drained(self, topic: str | None = None, within_s: float = DRAINED_WITHIN_S) -> float:
        """Wait until everything in the log is stored; returns the seconds it took."""
        began = time.monotonic()
        standing = "unknown"
        while time.monotonic() - began < within_s:
            try:
                ends, positions = (
                    await self.ends(topic or self.hits_topic),
                    await self.positions(topic or self.hits_topic),
                )
            except (KafkaError, psycopg.Error, OSError) as error:
                standing = repr(error)
            else:
                if positions == ends:
                    return time.monotonic() - began
                standing = f"stored to {positions} of {ends}"
            await asyncio.sleep(0.3)
        raise AssertionError(f"not drained within {within_s:.0f} s: {standing}; done to it: {self.told[-12:]}")

    async def put(self, values: Sequence[bytes | None], partition: int = 0, topic: str | None = None) -> list[int]:
        """Put records straight into a topic; returns their offsets."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.endpoints["kafka_bootstrap"], acks="all", max_request_size=4 * 1024 * 1024
        )
        await producer.start()
        try:
            return [
                (await producer.send_and_wait(topic or self.hits_topic, value, b"key", partition)).offset
                for value in values
            ]
        finally:
            await producer.stop()

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """An answer of the API, tried for half a minute while the service recovers."""
        until = time.monotonic() + 30
        headers = {"Authorization": f"Bearer {TOKEN}"}
        while True:
            try:
                async with (
                    aiohttp.ClientSession(headers=headers) as http,
                    http.request(method, f"{self.address}{path}", json=body) as answer,
                ):
                    if answer.status < 500:
                        answer.raise_for_status()
                        return await answer.json() if answer.status != 204 else None
                    failure: Exception = RuntimeError(await answer.text())
            except aiohttp.ClientConnectionError as error:
                failure = error
            if time.monotonic() > until:
                raise failure
            await asyncio.sleep(0.3)

    async def website(self, name: str, *, whole: bool = True) -> tuple[int, str]:
        """A new website with goals, and where it is `whole` with funnels and an experiment: its id and pixel key."""
        body = {"name": f"{name} {uuid.uuid4().hex[:6]}", "host": "faults.example"}
        made = (await self.call("POST", "/analytics/websites", body))["data"]
        await self.goals(int(made["id"]))
        if whole:
            await self.funnels(int(made["id"]))
            self.trials[int(made["id"])] = await self.experiment(int(made["id"]))
        return int(made["id"]), str(made["pixel_key"])

    async def made(self, website_id: int, path: str, body: object = None) -> int:
        """Make something of a website; returns its id."""
        return int((await self.call("POST", f"/analytics/websites/{website_id}/{path}", body))["data"]["id"])

    async def goals(self, website_id: int) -> list[int]:
        """Goals of every kind for a website, made now; returns their ids."""
        return [await self.made(website_id, "goals", goal) for goal in GOALS]

    async def funnels(self, website_id: int) -> list[int]:
        """Funnels for a website, made now; returns their ids."""
        return [await self.made(website_id, "funnels", funnel.body()) for funnel in FUNNELS]

    async def experiment(self, website_id: int) -> Trial:
        """An experiment that runs from now on."""
        made = await self.made(website_id, "experiments", EXPERIMENT)
        variants = [await self.made(website_id, f"experiments/{made}/variants", one) for one in VARIANTS]
        await self.made(website_id, f"experiments/{made}/start")
        return Trial(made, tuple(variants))

    async def computed(self, website_id: int, within_s: float = 60.0) -> None:
        """Wait until all goals and funnels of a website are computed over what is stored."""
        until = time.monotonic() + within_s
        query = "SELECT definition_id, state, error FROM backfills WHERE website_id = %s AND state <> 'done'"
        while waiting := await self.query(query, website_id):
            assert time.monotonic() < until, f"not computed: {waiting}; done to it: {self.told[-12:]}"
            await asyncio.sleep(0.2)
