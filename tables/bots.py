"""Scores of senders: how their behaviour was last judged, for the next verdict to begin with."""

from analytics_app.app import app
from tables.store import options

bot_scores = app.Table(
    "bot_scores", **options("When a source was last condemned for its behaviour, in ms, by its hash")
)
