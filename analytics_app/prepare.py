"""Bring Kafka and Postgres to where the service can start: topics, schema, first website and token.

`analytics up` runs it as a process of its own, so that what it loads does not stay in the supervisor. Its last line is
the answer, one JSON object: `{"token": "…"|null, "website_id": 1, "pixel_key": "…"}`, or `{"error": "…"}`.
"""

import asyncio
import sys
from dataclasses import asdict

import orjson

from analytics_app import bootstrap, db, logs, migrate, topics
from analytics_app.settings import settings


async def _prepare() -> bytes:
    try:
        await topics.ensure_topics()
        return orjson.dumps(asdict(await bootstrap.first_website_and_token()))
    except topics.TopicMismatch as error:
        return orjson.dumps({"error": str(error)})
    finally:
        await db.dispose()


def main() -> None:
    """Prepare, and print the answer."""
    logs.configure(settings(), sys.stderr)
    migrate.upgrade()
    sys.stdout.buffer.write(asyncio.run(_prepare()) + b"\n")


if __name__ == "__main__":
    main()
