"""Deliveries as the API shows them."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from analytics_app.deliveries.logic import State
from analytics_app.shapes import Instant, Shape


class DeliveryOut(Shape):
    """A message to one address."""

    channel: Literal["email", "webhook"]
    target: str
    state: State = Field(
        description="unknown: handed over, but never confirmed; it is not sent again by itself, so that nobody gets it "
        "twice"
    )
    attempts: int
    error: str = Field(description="Of the latest attempt; empty where there was none")
    finished_at: Instant | None


def state_of(deliveries: Iterable[DeliveryOut]) -> Literal["waiting", "sent", "failed", "unknown"]:
    """The state of several deliveries as a whole: the one that most asks for attention."""
    states = {one.state for one in deliveries}
    if states & {"waiting", "sending"}:
        return "waiting"
    if "failed" in states:
        return "failed"
    return "unknown" if "unknown" in states else "sent"
