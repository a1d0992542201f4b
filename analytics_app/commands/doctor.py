"""`analytics doctor`: what the service needs, what of it is wrong, and what to do."""

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.text import Text

from analytics_app.embedded import endpoints, jars, ports, state
from analytics_app.embedded.errors import NotStarted
from analytics_app.embedded.layout import Layout
from analytics_app.settings import Settings

LITTLE_DISK_BYTES, TOO_LITTLE_DISK_BYTES = 5_000_000_000, 500_000_000
SKEW_S = 2.0
BEHIND_RECORDS = 1000
OLDEST_POSTGRES = 140000
MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says what to do where it is not ok."""

    verdict: Literal["ok", "warn", "fail"]
    what: str
    advice: str = ""


def ok(what: str) -> Finding:
    """All is well."""
    return Finding("ok", what)


def warn(what: str, advice: str) -> Finding:
    """It works, but somebody should look."""
    return Finding("warn", what, advice)


def fail(what: str, advice: str) -> Finding:
    """It does not work."""
    return Finding("fail", what, advice)


def doctor(settings: Settings) -> int:
    """Print the findings; returns the exit code, 1 where one is a failure."""
    console = Console(highlight=False)
    failed = False
    for finding in findings(settings):
        mark, style = MARKS[finding.verdict]
        word = "" if console.is_terminal else f"{finding.verdict:<5}"
        console.print(Text.assemble((mark, style), " ", word, finding.what), soft_wrap=True)
        if finding.advice:
            console.print(Text.assemble("    ", (finding.advice, "dim")), soft_wrap=True)
        failed = failed or finding.verdict == "fail"
    return int(failed)


def findings(settings: Settings) -> Iterator[Finding]:
    """Every check in turn. A check that breaks is a failure of its own, and the others go on."""
    for check in (python, data_folder, processes, port, kafka, postgres):
        try:
            yield from check(settings)
        except NotStarted as error:
            yield fail(f"{check.__name__}: never started", str(error))
        except Exception as error:  # noqa: BLE001 - a doctor does not fall ill
            yield fail(
                f"{check.__name__}: {type(error).__name__}: {str(error).strip().splitlines()[:1]}", "see the message"
            )


def python(_settings: Settings) -> Iterator[Finding]:
    """The interpreter's version."""
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 14):
        yield ok(f"Python {found}")
    else:
        yield fail(f"Python {found}", "use 3.11, 3.12 or 3.13")


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Whether the data folder can be written, and how much room is left."""
    folder = settings.data_dir
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        yield fail(f"the data folder {folder} cannot be written", "change its owner, or name another with --data-dir")
        return
    yield ok(f"data in {folder}" + ("" if folder.exists() else " (made at the first start)"))
    free = shutil.disk_usage(nearest).free
    room = f"{free / 1e9:.1f} GB free for data"
    if free < TOO_LITTLE_DISK_BYTES:
        yield fail(
            room, "Kafka and Postgres stop when the disk is full: make room, or shorten ANALYTICS_HITS_RETENTION_H"
        )
    elif free < LITTLE_DISK_BYTES:
        yield warn(room, "watch it, or shorten ANALYTICS_HITS_RETENTION_H and ANALYTICS_EVENTS_RETENTION_DAYS")
    else:
        yield ok(room)


def processes(settings: Settings) -> Iterator[Finding]:
    """What `analytics up` runs on the folder."""
    running = [one.role for one in state.living(Layout(settings.data_dir))]
    if "supervisor" not in running:
        yield warn("`analytics up` does not run on this folder", "start it, unless you run the processes yourself")
        return
    counted = ", ".join(f"{running.count(role)} {role}" for role in dict.fromkeys(running))
    needed = {"web", "worker"}
    needed |= set() if settings.kafka_bootstrap_servers else {"kafka"}
    needed |= set() if settings.database_url.get_secret_value() else {"postgres"}
    if gone := sorted(needed - set(running)):
        yield fail(f"running: {counted}", f"missing: {', '.join(gone)}; see the lines of `analytics up` for why")
    else:
        yield ok(f"running: {counted}")


def port(settings: Settings) -> Iterator[Finding]:
    """Whether the API's port is ours or free."""
    layout = Layout(settings.data_dir)
    ours = any(one.role == "web" for one in state.living(layout))
    noted = endpoints.read(layout) if ours else {}
    host, number = str(noted.get("host", settings.host)), int(str(noted.get("port", settings.port)))
    free = ports.is_free(host, number)
    if ours and not free:
        yield ok(f"port {number} is ours")
    elif ours:
        yield fail(f"nothing listens on port {number}", "see the lines of `analytics up` for why")
    elif free:
        yield ok(f"port {number} is free")
    else:
        yield fail(f"port {number} is taken by another program", "choose another with --port")


def kafka(settings: Settings) -> Iterator[Finding]:
    """Whether Kafka answers and holds the topics that are needed."""
    if not settings.kafka_bootstrap_servers:
        missing = len(jars.missing())
        if missing:
            yield warn(
                f"{missing} of Kafka's libraries are to be fetched", "the next start does it; it needs the network"
            )
        else:
            yield ok(f"Kafka {jars.version()} is installed")
    bootstrap = endpoints.resolve(settings).kafka_bootstrap
    try:
        counts, wanted = asyncio.run(_topics(bootstrap, settings))
    except Exception as error:  # noqa: BLE001 - aiokafka's errors, or the network's
        reason = type(error).__name__
        yield fail(
            f"Kafka does not answer at {bootstrap} ({reason})", "start `analytics up`; its log is in logs/kafka.log"
        )
        return
    yield ok(f"Kafka answers at {bootstrap}")
    absent = [name for name in wanted if name not in counts]
    wrong = [
        f"{name} has {counts[name]}, not {wanted[name]}"
        for name in wanted
        if name in counts and counts[name] != wanted[name]
    ]
    if absent:
        yield fail(f"topics missing: {', '.join(absent)}", "run `analytics topics`, then start the workers again")
    if wrong:
        yield fail(f"partitions differ: {'; '.join(wrong)}", "set ANALYTICS_PARTITIONS to what the topics have")
    if not absent and not wrong:
        yield ok(f"{len(wanted)} topics, {settings.partitions} partitions each")


async def _topics(bootstrap: str, settings: Settings) -> tuple[dict[str, int], dict[str, int]]:
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415

    from analytics_app.stream import plans  # noqa: PLC0415

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    async with asyncio.timeout(8):
        await admin.start()
        try:
            wanted = {plan.name: plan.partitions for plan in plans.plans(settings)}
            present = [name for name in await admin.list_topics() if name in wanted]
            described = await admin.describe_topics(present) if present else []
            return {topic["topic"]: len(topic["partitions"]) for topic in described}, wanted
        finally:
            with contextlib.suppress(Exception):
                await admin.close()


def postgres(settings: Settings) -> Iterator[Finding]:
    """Whether Postgres answers, is new enough and up to date, agrees on the time, and how far the workers are."""
    import psycopg  # noqa: PLC0415

    from analytics_app import migrate  # noqa: PLC0415

    address = endpoints.resolve(settings).database_url
    plain = "postgresql://" + address.split("://", 1)[-1]
    try:
        connection = psycopg.connect(plain, connect_timeout=5, autocommit=True)
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        yield fail(f"Postgres does not answer: {reason}", "start `analytics up`, or check ANALYTICS_DATABASE_URL")
        return
    with connection as db:
        version, theirs = db.info.server_version, db.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        skew = time.time() - float(theirs[0]) if theirs else 0.0
        if version < OLDEST_POSTGRES:
            yield fail(f"Postgres {version // 10000}", "version 14 or newer is needed")
        else:
            yield ok(f"Postgres {version // 10000} answers at {db.info.host}:{db.info.port}")
        if abs(skew) > SKEW_S:
            yield warn(f"the clocks of this machine and Postgres differ by {skew:.1f} s", "synchronise both (NTP)")
        if db.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            yield fail("the database is empty", "run `analytics migrate`")
            return
        found = db.execute("SELECT version_num FROM alembic_version").fetchone()
        if not found or found[0] != migrate.newest():
            yield fail(f"the schema is at {found and found[0]}, not {migrate.newest()}", "run `analytics migrate`")
            return
        yield ok("the schema is up to date")
        yield from _stream(settings, lambda query: db.execute(query).fetchall())


def _stream(settings: Settings, ask: Callable[[str], list[tuple[object, ...]]]) -> Iterator[Finding]:
    positions = {
        (str(topic), int(str(partition))): int(str(offset))
        for topic, partition, offset in ask("SELECT topic, partition, next_offset FROM stream_positions")
    }
    failed = int(str(ask("SELECT count(*) FROM failed_records WHERE settled_at IS NULL")[0][0]))
    if failed:
        yield warn(
            f"{failed} failed records wait", "`analytics failed list` shows them, `analytics failed replay` tries again"
        )
    if lost := ask("SELECT topic, partition, from_offset, to_offset FROM stream_losses ORDER BY at DESC LIMIT 1"):
        yield warn(
            f"records were lost before a worker came for them, last in {lost[0]}",
            "run enough workers, or keep hits longer",
        )
    try:
        ends = asyncio.run(_ends(endpoints.resolve(settings).kafka_bootstrap, list(positions)))
    except Exception:  # noqa: BLE001 - said above: Kafka does not answer
        return
    behind = sum(max(0, ends[place] - offset) for place, offset in positions.items() if place in ends)
    if behind > BEHIND_RECORDS:
        yield warn(f"the workers are {behind} records behind", "if it grows, run more: `analytics up --workers 2`")
    else:
        yield ok(f"the workers are {behind} records behind")


async def _ends(bootstrap: str, places: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
    from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: PLC0415

    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    async with asyncio.timeout(8):
        await consumer.start()
        try:
            ends = await consumer.end_offsets([TopicPartition(*place) for place in places])
            return {(place.topic, place.partition): end for place, end in ends.items()}
        finally:
            await consumer.stop()
