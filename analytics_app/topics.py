"""Every topic: its name, key and value. Read this file to see the stream.

browser ─▶ web ─▶ hits ─▶ sessions ─▶ Postgres
                             └─▶ activity ─▶ realtime ─▶ live views

`analytics_app/stream/plans.py` says how long they keep what, and makes them.
"""

from typing import Any

from analytics_app.app import app
from analytics_app.settings import settings

RAW: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
    "internal": True,
}

hits = app.topic(f"{settings().app_id}-hits", partitions=settings().partitions, **RAW)
"""Hits as the edge accepted them: `HitRecord`s, in the partition of their session."""

activity = app.topic(f"{settings().app_id}-activity", partitions=settings().partitions, **RAW)
"""Who was where a moment ago: `ActivityRecord`s, in the partition of their website."""
