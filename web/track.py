"""Tracking: what browsers and servers report."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import structlog
from aiohttp.web import Request, Response
from faust.web import Blueprint
from pydantic import BaseModel, Field

from analytics_app import clock
from analytics_app.errors import (
    AnalyticsError,
    FaultyField,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from analytics_app.intake.schemas import EventBody, HeartbeatBody, LeaveBody, PixelBody, TrackBody, Tracked
from analytics_app.records import Heartbeat, Leave
from analytics_app.websites.logic import Website
from web import bodies, intake
from web.errors import counted
from web.fast_path import AtOnce
from web.resource import RESOURCE, Resource, json_response, operation, validated
from web.taken import Answer, Taken

EngagementBody = TypeVar("EngagementBody", HeartbeatBody, LeaveBody)

blueprint = Blueprint("track")
log = structlog.get_logger(__name__)

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
DAY_S = 86_400
MAX_FORM_FIELDS = 100
SHORT_NAMES = {"p": "path", "t": "title", "r": "referrer"}
ERRORS = (NotFound, Forbidden, RateLimited, Unavailable)
IMAGE = {"type": "string", "format": "binary", "description": "A transparent GIF of one pixel"}
SAYS = {"X-Analytics": "`recorded`, or `ignored: <reason>`"}


class Ok(BaseModel):
    """Kafka has it, unless `ignored` says why it is not counted."""

    ok: bool = True
    ignored: str | None = None


class PixelQuery(BaseModel):
    """The pixel's query; whatever else `POST /track` takes as text is also read."""

    key: str = Field("", description="The website's pixel key")
    p: str = Field("", description="The page's path")
    t: str = Field("", description="Its title")
    r: str = Field("", description="Where the visitor came from")


class Tracking(Resource):
    """What the tracking views share: open to every page, and every refusal is counted."""

    public = True
    tag = "Tracking"

    async def dispatch(self, request: Request) -> Any:
        """Answer, and count what is refused."""
        request[RESOURCE] = self
        try:
            return await self.called(request)
        except AnalyticsError as error:
            counted(error)
            raise


class Image(Tracking):
    """A view that answers the GIF whatever was wrong; a header says what came of the hit."""

    async def dispatch(self, request: Request) -> Any:
        """The GIF, always."""
        try:
            return await super().dispatch(request)
        except AnalyticsError as error:
            return image(f"ignored: {error.code.lower()}")
        except Exception:
            log.exception("a pixel could not be tracked")
            return image("ignored: server_error")


def answered(answer: Answer) -> Response:
    """200, or 202 where the visitor is not counted."""
    return json_response(answer.shown(), status=202 if answer.ignored else 200)


def image(says: str) -> Response:
    """The GIF, and what came of the hit."""
    headers = {"X-Analytics": says, "Cache-Control": "no-store"}
    return Response(body=GIF, content_type="image/gif", headers=headers)


def told(answer: Answer) -> str:
    """What the GIF's header says."""
    return f"ignored: {answer.ignored}" if answer.ignored else "recorded"


@blueprint.route("/track", name="track")
class Track(Tracking):
    """One pageview or event, answered once it is safe."""

    @operation(body=TrackBody, answer=Tracked, errors=(*ERRORS, Unauthenticated))
    async def post(self, request: Request) -> Response:
        """Track a pageview or event. `ok` without `ignored` means that it is durable."""
        body = await self.body(request, TrackBody)
        return answered(await intake.accept(request, await intake.website_of(body.key), body))


@blueprint.route("/track/{pixel_key}", name="track_pixel")
class TrackPixel(Image):
    """One pageview or event, answered with a GIF."""

    @operation(
        body=PixelBody, body_required=False, body_any=True, answer=IMAGE, content_types=("image/gif",), headers=SAYS
    )
    async def post(self, request: Request, pixel_key: str) -> Response:
        """Track a pageview or event; the body may be JSON, a form, or empty. Always 200 and the GIF."""
        website = await intake.website_of(pixel_key)
        sent = await bodies.read(request)
        values = _form(sent) if _is_form(request) else bodies.json_object(sent) if sent else {}
        return image(told(await intake.accept(request, website, validated(PixelBody, _lenient(values, request)))))


@blueprint.route("/pixel", name="pixel")
class Pixel(Image):
    """The pixel of pages without JavaScript."""

    @operation(query=PixelQuery, answer=IMAGE, content_types=("image/gif",), headers=SAYS)
    async def get(self, request: Request) -> Response:
        """Track a pageview by an image. Always 200 and the GIF."""
        website = await intake.website_of(request.query.get("key"))
        return image(told(await intake.accept(request, website, validated(PixelBody, _lenient({}, request)))))


@blueprint.route("/event", name="event")
class Event(Tracking):
    """A custom event."""

    @operation(body=EventBody, answer=Tracked, errors=(*ERRORS, Unauthenticated))
    async def post(self, request: Request) -> Response:
        """Track a custom event. `ok` without `ignored` means that it is durable."""
        body = await self.body(request, EventBody)
        return answered(await intake.accept(request, await intake.website_of(body.key), body))


@blueprint.route("/heartbeat", name="heartbeat")
class HeartbeatView(Tracking):
    """Engagement with a pageview."""

    @operation(body=HeartbeatBody, answer=Ok, errors=ERRORS)
    async def post(self, request: Request) -> Response:
        """Update time on page and scroll depth. Totals: the highest counts, so repeats change nothing."""
        body = await self.body(request, HeartbeatBody)
        website = await intake.website_of(body.key) if body.key else None
        return answered(await intake.accept_engagement(request, _heartbeat(body, website), website))


@blueprint.route("/leave", name="leave")
class LeaveView(Tracking):
    """The end of a session's clock."""

    @operation(body=LeaveBody, answer=Ok, errors=ERRORS)
    async def post(self, request: Request) -> Response:
        """End the session's clock (sent by sendBeacon). A later hit within the timeout goes on with the session."""
        body = await self.body(request, LeaveBody)
        website = await intake.website_of(body.key) if body.key else None
        return answered(await intake.accept_engagement(request, _leave(body, website), website))


def _hit_at_once(model: type[TrackBody | EventBody]) -> AtOnce:
    """What `Track` and `Event` do."""

    def take(peer: str, headers: Mapping[str, str], sent: bytes) -> Taken | None:
        body = model.model_validate(bodies.json_object(sent))
        website = intake.website_at_once(body.key)
        return website and intake.take_at_once(intake.sender_from(peer, headers), website, body)

    return take


def _engagement_at_once(
    model: type[EngagementBody], made: Callable[[EngagementBody, Website | None], Heartbeat | Leave]
) -> AtOnce:
    """What `HeartbeatView` and `LeaveView` do."""

    def take(peer: str, headers: Mapping[str, str], sent: bytes) -> Taken | None:
        body = model.model_validate(bodies.json_object(sent))
        website = intake.website_at_once(body.key) if body.key else None
        if body.key and website is None:
            return None
        return intake.engagement_at_once(intake.sender_from(peer, headers), made(body, website), website)

    return take


def _heartbeat(body: HeartbeatBody, website: Website | None) -> Heartbeat:
    return Heartbeat(
        event_id=body.event_id,
        at_ms=clock.now_ms(),
        session_key=intake.key_of(body.session_id),
        website_id=website.id if website else 0,
        time_on_page_s=min(body.time_on_page, DAY_S),
        scroll_depth=min(body.scroll_depth, 100),
    )


def _leave(body: LeaveBody, website: Website | None) -> Leave:
    return Leave(
        at_ms=clock.now_ms(),
        session_key=intake.key_of(body.session_id),
        website_id=website.id if website else 0,
    )


AT_ONCE: Mapping[str, AtOnce] = {
    "/analytics/track": _hit_at_once(TrackBody),
    "/analytics/event": _hit_at_once(EventBody),
    "/analytics/heartbeat": _engagement_at_once(HeartbeatBody, _heartbeat),
    "/analytics/leave": _engagement_at_once(LeaveBody, _leave),
}
"""What the fast path takes of this: the plain cases of the views above."""


def _is_form(request: Request) -> bool:
    return request.content_type == "application/x-www-form-urlencoded"


def _form(sent: bytes) -> dict[str, Any]:
    try:
        return dict(parse_qsl(sent.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        raise Invalid(details=[FaultyField("", f"a form has at most {MAX_FORM_FIELDS} fields")]) from None


def _lenient(values: dict[str, Any], request: Request) -> dict[str, Any]:
    """Values of a pixel: short names are taken, numbers may be texts, and the page may be the one that embeds it."""
    found = {**request.query, **values}
    for short, long in SHORT_NAMES.items():
        found.setdefault(long, found.get(short, ""))
    for name in ("screen_width", "screen_height"):
        if isinstance(found.get(name), str):
            found[name] = int(found[name]) if found[name].isdecimal() and len(found[name]) < 6 else None
    if isinstance(found.get("value"), str):
        try:
            found["value"] = float(found["value"])
        except ValueError:
            raise Invalid(details=[FaultyField("value", "must be a number")]) from None
    for name in ("interactive", "webdriver"):
        if isinstance(found.get(name), str):
            found[name] = found[name].lower() not in ("0", "false", "no")
    page = request.headers.get("Referer", "")
    if not found["path"]:
        found["path"] = page
    if not found.get("host") and "://" in page:
        found["host"] = page.split("/", 3)[2]
    return found
