"""HTTP shapes of the live view."""

from pydantic import BaseModel

from analytics_app.shapes import Instant


class ActivePage(BaseModel):
    """A page, and how many visitors saw it last."""

    path: str
    viewers: int


class Location(BaseModel):
    """A country, and how many visitors are there."""

    country_code: str
    visitors: int


class Realtime(BaseModel):
    """Who is on the website now: visitors with any activity in the last five minutes."""

    active_visitors: int
    active_pages: list[ActivePage]
    locations: list[Location]
    timestamp: Instant
