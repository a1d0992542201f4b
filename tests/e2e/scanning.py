"""Where a word stands: in rows, topics, workers' tables, logs and files of a running service."""

import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import zstandard
from aiokafka import AIOKafkaConsumer, TopicPartition
from rocksdict import AccessType, Options, Rdict

from tests.e2e.service import Service

PACKED = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")
PARTITIONS = 4
FRAME = b"\x28\xb5\x2f\xfd"
"""How a Zstandard frame begins."""


def says(value: bytes | None, word: str) -> bool:
    """Whether bytes say the word: as they are, as base64 of a Zstandard frame, or as one."""
    if not value:
        return False
    if word.encode() in value or word.encode().hex().encode() in value:
        return True
    frames = [value] if value.startswith(FRAME) else []
    frames += [b64decode(one) for one in PACKED.findall(value) if len(one) % 4 == 0 and one.startswith(b"KLUv/")]
    return any(word.encode() in _inflated(frame) for frame in frames)


def _inflated(frame: bytes) -> bytes:
    with suppress(zstandard.ZstdError):
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=2**26)
    return b""


def tables_saying(service: Service, *words: str) -> set[str]:
    """The tables any column of any row of which says one of the words; partitions count as their table."""
    found = set()
    columns = service.sql(
        "SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c "
        "JOIN information_schema.tables t USING (table_schema, table_name) "
        "WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'"
    )
    with psycopg.connect(service.noted("database_url"), autocommit=True) as db:
        for column in columns:
            table, name = column["table_name"], column["column_name"]
            if column["data_type"] == "bytea":
                values = db.execute(f'SELECT "{name}" FROM "{table}"').fetchall()
                hit = any(says(value, word) for (value,) in values for word in words)
            else:
                told = [f"%{word}%" for word in words]
                hit = db.execute(f'SELECT EXISTS (SELECT FROM "{table}" WHERE "{name}"::text LIKE ANY (%s))', [told])
                (hit,) = hit.fetchone() or (False,)
            if hit:
                found.add(re.sub(r"_(\d{4}_\d{2}|other)$", "", table))
    return found


async def topics_saying(service: Service, word: str) -> set[str]:
    """The topics any record of which, as far as Kafka still has it, says the word."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=service.noted("kafka_bootstrap"), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    found = set()
    try:
        topics = sorted(topic for topic in await consumer.topics() if topic.startswith("analytics-"))
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        ends = {place: end for place, end in (await consumer.end_offsets(places)).items() if end}
        starts = await consumer.beginning_offsets(list(ends))
        left = {place: end for place, end in ends.items() if starts[place] < end}
        consumer.assign(list(left))
        await consumer.seek_to_beginning()
        while left:
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    if says(record.value, word) or says(record.key, word):
                        found.add(place.topic)
            for place in list(left):  # a compacted partition ends where its last record was, not at the end
                if await consumer.position(place) >= left[place]:
                    del left[place]
                    consumer.pause(place)
    finally:
        await consumer.stop()
    return found


def worker_tables_saying(service: Service, word: str) -> set[str]:
    """The workers' tables that say the word, of what RocksDB shows of their folders."""
    found = set()
    for folder in sorted((service.folder / "tables").rglob("*.db")):
        table = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.read_only())
        if any(says(key, word) or says(value, word) for key, value in table.items()):
            found.add(re.sub(r"-\d+\.db$", "", folder.name))
        table.close()
    return found


def files_saying(service: Service, word: str) -> set[str]:
    """The files that say the word, of everything in the data folder but Postgres' own, and of the log beside it."""
    return {str(path.relative_to(service.folder.parent)) for path in _files(service) if says(_content(path), word)}


def _content(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _files(service: Service) -> Iterator[Path]:
    yield service.log
    for path in sorted(service.folder.rglob("*")):
        if path.is_file() and service.folder / "postgres" not in path.parents:
            yield path
