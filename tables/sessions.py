"""Live sessions: a copy of each session id's state."""

from analytics_app import topics
from analytics_app.app import app
from tables.copies import Copied
from tables.store import options

sessions = app.Table("sessions", **options("State of each live session id, by its key"))

COPIES = Copied(sessions, topics.hits.get_topic_name())
held, keep = COPIES.held, COPIES.keep
