"""Samples of heatmaps, from the browser to Kafka."""

import asyncio

import faust
from aiohttp.web import Request, Response

from analytics_app import clock, figures
from analytics_app.errors import Forbidden, NotFound, RateLimited, Unavailable
from analytics_app.heatmaps.lots import Who, lots_of
from analytics_app.heatmaps.schemas import SamplesBody
from analytics_app.intake.pipeline import WHO_STEPS, Dropped
from analytics_app.intake.schemas import PixelBody
from analytics_app.records import encode
from analytics_app.topics import heatmap_samples
from analytics_app.websites.logic import Website
from web import bodies, intake
from web.edge import Edge
from web.limits import LIMITS
from web.resource import operation
from web.taken import Answer
from web.track import Ok, Tracking, answered

blueprint = faust.web.Blueprint("heatmap_samples")

SAMPLES = Edge(heatmap_samples.get_topic_name())


@blueprint.route("/heatmap", name="samples")
class HeatmapSamples(Tracking):
    """Clicks, moves and scrolling, answered once they are safe."""

    @operation(
        body=SamplesBody,
        body_limit=bodies.LARGE,
        answer=Ok,
        also={202: Ok},
        errors=(Forbidden, NotFound, RateLimited, Unavailable),
    )
    async def post(self, request: Request) -> Response:
        """Take samples for heatmaps, of websites of the type full. `ok` without `ignored` means that they are durable.

        At most 1 MiB, also as gzip.
        """
        body = await self.body(request, SamplesBody, bodies.LARGE)
        ignored = await take(request, await intake.website_of(body.key), body)
        return answered(Answer(ignored=ignored))


async def take(request: Request, website: Website, body: SamplesBody) -> str | None:
    """Give samples to Kafka; returns once it has them all, or why they are not recorded. Raises `Unavailable`."""
    await LIMITS.take(website.id)
    now_ms = clock.now_ms()
    draft = await intake.draft_of(request, website, PixelBody(visitor_id=body.visitor_id, session_id=body.session_id))
    try:
        for step in WHO_STEPS:
            step(draft)
    except Dropped as dropped:
        figures.count_edge(f"ignored_{dropped.reason.value}")
        return dropped.reason.value if dropped.told else None
    if website.tracking_type != "full":
        figures.count_edge("ignored_lightweight")
        return "lightweight"
    fields = draft.fields
    who = Who(website.id, fields["visitor"], fields["session_key"], fields["device_type"], fields.get("sent_by", ""))
    waits = [SAMPLES.put(key, encode(lot)) for key, lot in lots_of(body, who, now_ms)]
    await asyncio.gather(*map(asyncio.shield, waits))
    figures.count_edge("accepted_samples")
    return None
