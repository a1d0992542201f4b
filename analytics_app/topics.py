"""Every topic: its name, key and value. Read this file to see the stream.

browser ─▶ web ─▶ hits ─▶ sessions ─▶ Postgres
                │            └─▶ activity ─▶ realtime ─▶ live views
                └─▶ exposures ─▶ experiments ─▶ Postgres
                             ├─▶ activity ─▶ realtime ─▶ live views
                             └─▶ visitor-events ─▶ funnels ─▶ Postgres
            │                └─▶ activity ─▶ realtime ─▶ live views
            │                └─▶ senders ─▶ bots ─▶ verdicts ─▶ Postgres
            └▶ bot-detections ─▶ bot_detections ─▶ Postgres
                             └─▶ activity ─▶ realtime ─▶ live views
                  └▶ replay-chunks ─▶ replays ─▶ Postgres
            └─▶ heatmap-samples ─▶ heatmaps ─▶ Postgres

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
"""Hits as the edge accepted them: `Gathered` records, in the partition of their session."""

activity = app.topic(f"{settings().app_id}-activity", partitions=settings().partitions, **RAW)
"""Who was where a moment ago: lists of `ActivityRecord`s, each in the partition of its website."""

exposures = app.topic(f"{settings().app_id}-exposures", partitions=settings().partitions, **RAW)
"""Who was shown which variant: `Gathered` records of `Exposure`s, in the partition of their visitor."""
visitor_events = app.topic(f"{settings().app_id}-visitor-events", partitions=settings().partitions, **RAW)
"""What funnels want of what was counted: `Gathered` records of `VisitorEvent`s, in the partition of their visitor."""
senders = app.topic(f"{settings().app_id}-senders", partitions=settings().partitions, **RAW)
"""Who sent what a moment ago: `SendersRecord`s, in the partition of their sender."""

bot_detections = app.topic(f"{settings().app_id}-bot-detections", partitions=settings().partitions, **RAW)
"""What the edge judged odd or a bot's: `Gathered` records of `Detection`s."""
replay_chunks = app.topic(f"{settings().app_id}-replay-chunks", partitions=settings().partitions, **RAW)
"""Chunks of recordings as the edge accepted them: `Gathered` `Recorded`s, in the partition of their session."""
heatmap_samples = app.topic(f"{settings().app_id}-heatmap-samples", partitions=settings().partitions, **RAW)
"""Clicks, moves and reaches as the edge accepted them: `Gathered` `Samples`, in the partition of their page."""
