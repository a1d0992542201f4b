"""The topics that must exist before any process starts: how many partitions, how long records stay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from analytics_app.embedded.endpoints import resolve
from analytics_app.records import DETECTIONS, EXPOSURES, HITS, RECORDED, SAMPLES, VISITOR_EVENTS, Reader
from analytics_app.settings import Settings, settings

MOST_BYTES = 4 * 1024 * 1024
"""The largest record of a topic whose records may be large (a broker's own limit is 1 MiB unless told otherwise)."""


@dataclass(frozen=True)
class TopicPlan:
    """A topic that must exist before any process starts."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)
    reader: Reader[Any] | None = None
    """Of a stored topic, whose position Postgres keeps: how its records are read."""
    live: bool = False
    """Whether only the last minutes matter: a consumer begins a moment ago."""


class TopicMismatch(RuntimeError):
    """Raised when a topic exists with another number of partitions than the settings say."""


def plans(settings: Settings) -> list[TopicPlan]:
    """Every topic the service needs under `settings`; a table's changelog has as many partitions as its source."""
    hour_ms = 3_600_000
    # Of what a worker writes Kafka's clock says when: Kafka would refuse what one writes whose clock is an hour ahead.
    by_kafka = {"message.timestamp.type": "LogAppendTime"}
    changelog = {
        **by_kafka,
        "cleanup.policy": "compact",
        "segment.ms": str(hour_ms),
        "min.cleanable.dirty.ratio": "0.2",
        "max.compaction.lag.ms": str(24 * hour_ms),
    }
    lately = {**by_kafka, "retention.ms": str(hour_ms), "segment.ms": str(hour_ms // 2)}
    kept = {"retention.ms": str(settings.hits_retention_h * hour_ms), "segment.ms": str(6 * hour_ms)}
    prefix, count = settings.app_id, settings.partitions
    return [
        TopicPlan(f"{prefix}-hits", count, kept, HITS),
        TopicPlan(f"{prefix}-exposures", count, kept, EXPOSURES),
        TopicPlan(
            f"{prefix}-replay-chunks",
            count,
            {
                **kept,
                "retention.ms": str(settings.replay_chunks_retention_h * hour_ms),
                "max.message.bytes": str(MOST_BYTES),
            },
            RECORDED,
        ),
        TopicPlan(f"{prefix}-heatmap-samples", count, kept, SAMPLES),
        TopicPlan(f"{prefix}-activity", count, lately, live=True),
        TopicPlan(f"{prefix}-visitor-events", count, {**by_kafka, **kept}, VISITOR_EVENTS),
        TopicPlan(f"{prefix}-senders", count, lately, live=True),
        TopicPlan(f"{prefix}-bot-detections", count, kept, DETECTIONS),
        TopicPlan(f"{prefix}-bot_scores-changelog", count, changelog),
        TopicPlan(f"{prefix}-sessions-changelog", count, changelog),
        TopicPlan(f"{prefix}-realtime-changelog", count, changelog),
        TopicPlan(f"{prefix}-funnel_progress-changelog", count, changelog),
    ]


@cache
def stored_topics() -> tuple[str, ...]:
    """Topics whose position Postgres keeps."""
    return tuple(plan.name for plan in plans(settings()) if plan.reader is not None)


def reader_of(topic: str) -> Reader[Any]:
    """How the records of a stored topic are read; as hits where the settings know no such topic."""
    return next((plan.reader for plan in plans(settings()) if plan.name == topic and plan.reader), HITS)


async def ensure_topics() -> list[str]:
    """Make the topics that are missing; returns their names.

    Raises `TopicMismatch` where one exists with another number of partitions, `aiokafka.errors.KafkaError` where
    Kafka is away.
    """
    async with _admin() as admin:
        missing = await _missing(admin)
        if missing:
            await _create(admin, missing)
        return [plan.name for plan in missing]


async def missing_topics() -> list[str]:
    """The names of topics that are missing. Raises as `ensure_topics` does."""
    async with _admin() as admin:
        return [plan.name for plan in await _missing(admin)]


@asynccontextmanager
async def _admin() -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=resolve(settings()).kafka_bootstrap, request_timeout_ms=15_000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _missing(admin: AIOKafkaAdminClient) -> list[TopicPlan]:
    """The topics that are missing, those that exist compared with their plans."""
    wanted = {plan.name: plan for plan in plans(settings())}
    present = set(await admin.list_topics())
    await _compare(admin, [wanted[name] for name in wanted if name in present])
    return [plan for name, plan in wanted.items() if name not in present]


async def _create(admin: AIOKafkaAdminClient, missing: list[TopicPlan]) -> None:
    new = [
        NewTopic(plan.name, plan.partitions, settings().replication_factor, topic_configs=plan.config)
        for plan in missing
    ]
    answer = await admin.create_topics(new)
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"topic {name} could not be made")


async def _compare(admin: AIOKafkaAdminClient, present: list[TopicPlan]) -> None:
    described = await admin.describe_topics([plan.name for plan in present]) if present else []
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    for plan in present:
        if counts.get(plan.name) not in (None, plan.partitions):
            raise TopicMismatch(
                f"topic {plan.name} has {counts[plan.name]} partitions, the settings say {plan.partitions}: "
                f"set ANALYTICS_PARTITIONS={counts[plan.name]}"
            )
