"""Bring Kafka and Postgres to where the service can start: topics, schema, first website and token.

`analytics up` runs it as a process of its own, so that what it loads does not stay in the supervisor. Its last line is
the answer, one JSON object: `{"token": "…"|null, "website_id": 1, "pixel_key": "…"}`, or `{"error": "…"}`.
"""

import asyncio
import sys
from dataclasses import asdict

import orjson
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from analytics_app import bootstrap, db, logs, migrate
from analytics_app.embedded.endpoints import resolve
from analytics_app.settings import settings
from analytics_app.stream import plans


async def _prepare() -> bytes:
    try:
        await plans.ensure_topics()
        await _coordinator()
        return orjson.dumps(asdict(await bootstrap.first_website_and_token()))
    except plans.TopicMismatch as error:
        return orjson.dumps({"error": str(error)})
    finally:
        await db.dispose()


async def _coordinator() -> None:
    """Have Kafka choose who coordinates our group, which on a new one takes a second and errors in every log."""
    admin = AIOKafkaAdminClient(bootstrap_servers=resolve(settings()).kafka_bootstrap)
    await admin.start()
    try:
        for _ in range(40):
            try:
                await admin.find_coordinator(settings().app_id)
            except KafkaError:
                await asyncio.sleep(0.25)
            else:
                return
    finally:
        await admin.close()


def main() -> None:
    """Prepare, and print the answer."""
    logs.configure(settings(), sys.stderr)
    migrate.upgrade()
    sys.stdout.buffer.write(asyncio.run(_prepare()) + b"\n")


if __name__ == "__main__":
    main()
