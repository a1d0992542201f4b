"""Many hits in one call, for servers that report what their visitors did."""

from typing import Any, Literal

from aiohttp.web import Request, Response
from faust.web import Blueprint
from pydantic import BaseModel, Field

from analytics_app.errors import AnalyticsError, Forbidden, RateLimited, Unauthenticated, Unavailable
from analytics_app.intake.pipeline import Sender
from analytics_app.intake.schemas import TrackBody, Tracked
from analytics_app.shapes import ErrorOut
from web import bodies, intake
from web.errors import counted, shape_of
from web.resource import json_response, operation, validated
from web.taken import Answer, Taken
from web.track import Tracking

blueprint = Blueprint("batch")

MOST = 1000


class BatchBody(BaseModel):
    """Hits as `POST /analytics/track` takes them, each with its key. What is wrong with one harms no other."""

    hits: list[dict[str, Any]] = Field(min_length=1, max_length=MOST)


class BatchOut(BaseModel):
    """An answer for each hit, in their order."""

    ok: Literal[True] = True
    results: list[Tracked | ErrorOut]


@blueprint.route("/batch", name="batch")
class Batch(Tracking):
    """Many hits in one call."""

    @operation(
        body=BatchBody,
        body_limit=bodies.LARGE,
        answer=BatchOut,
        errors=(Forbidden, RateLimited, Unauthenticated, Unavailable),
    )
    async def post(self, request: Request) -> Response:
        """Track up to 1,000 hits. Each is answered as `POST /analytics/track` would; 503 where none could be stored."""
        body = await self.body(request, BatchBody, bodies.LARGE)
        sender = intake.sender_of(request)
        taken = [await self._take(request, sender, hit) for hit in body.hits]
        results = [await self._safe(one) for one in taken]
        if all(isinstance(result, Unavailable) for result in results):
            raise results[0]
        return json_response({"ok": True, "results": [_shown(result) for result in results]})

    async def _take(self, request: Request, sender: Sender, hit: dict[str, Any]) -> Taken | AnalyticsError:
        """The hit on its way, or what is wrong with it."""
        try:
            body = validated(TrackBody, hit)
            website = intake.website_at_once(body.key)
            taken = website and intake.take_at_once(sender, website, body)
            return taken or await intake.take(request, await intake.website_of(body.key), body)
        except AnalyticsError as error:
            return counted(error)

    async def _safe(self, taken: Taken | AnalyticsError) -> Answer | AnalyticsError:
        if isinstance(taken, AnalyticsError):
            return taken
        try:
            return await taken.safe()
        except AnalyticsError as error:
            return counted(error)


def _shown(result: Answer | AnalyticsError) -> dict[str, Any]:
    return shape_of(result) if isinstance(result, AnalyticsError) else result.shown()
