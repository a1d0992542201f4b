"""Visitors on their way through funnels: a copy of each one's state."""

from analytics_app import topics
from analytics_app.app import app
from tables.copies import Copied
from tables.store import options

funnel_progress = app.Table("funnel_progress", **options("What each visitor's funnels go on from, by its number"))

COPIES = Copied(funnel_progress, topics.visitor_events.get_topic_name())
held, keep = COPIES.held, COPIES.keep
