"""What has become of a hit: the answer to it, and what it waits for."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from analytics_app import figures

if TYPE_CHECKING:  # a worker loads no schemas of the API
    from analytics_app.intake.schemas import Capture


class Answer(NamedTuple):
    """The answer to a hit; what of it is None is not said."""

    event_id: int | None = None
    visitor_id: str | None = None
    session_id: str | None = None
    capture: "Capture | None" = None
    ignored: str | None = None

    def shown(self) -> dict[str, object]:
        """It as JSON holds it, in the shape of `Tracked`."""
        if self.ignored:
            return {"ok": True, "ignored": self.ignored}
        if self.event_id is None:
            return {"ok": True}
        said: dict[str, object] = {
            "ok": True,
            "event_id": self.event_id,
            "visitor_id": self.visitor_id,
            "session_id": self.session_id,
        }
        if self.capture:
            said["capture"] = self.capture.model_dump(exclude_none=True)
        return said


@dataclass(frozen=True, slots=True)
class Taken:
    """A hit on its way: the answer to it, and what to wait for before it is given; None where there is nothing."""

    answer: Answer
    acknowledged: asyncio.Future[None] | None = None
    counts: bool = True

    async def safe(self) -> Answer:
        """The answer, once it is true. Raises `Unavailable`."""
        if self.acknowledged is not None:
            await self.acknowledged
        return self.accepted()

    def accepted(self) -> Answer:
        """The answer, which is true by now."""
        if self.acknowledged is not None and self.counts:
            figures.count_edge("accepted")
        return self.answer
