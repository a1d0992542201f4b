"""Live views: who is on each website now, as last written for the API."""

from analytics_app.app import app
from tables.store import options

realtime = app.Table("realtime", **options("Live view of each website with visitors now, by its id"))
