"""What pages ask and tell of experiments: `/analytics/experiment/…`."""

from hashlib import sha256

import faust
import orjson
from aiohttp.web import Request, Response

from analytics_app import clock
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import (
    AnalyticsError,
    FaultyField,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unavailable,
)
from analytics_app.experiments.logic import Assignment, Experiment, Status, assign
from analytics_app.experiments.schemas import AssignmentOut, ExposureBody, VariantQuery
from analytics_app.records import Exposure
from analytics_app.shapes import MAX_ROW_ID
from analytics_app.websites.logic import Website
from web import intake
from web.exposures import EXPOSURES
from web.known_experiments import KNOWN
from web.limits import LIMITS
from web.resource import Resource, operation
from web.taken import Answer
from web.track import Ok, Tracking, answered

blueprint = faust.web.Blueprint("assignment")

KEPT_S = 1
"""How long a browser takes an answer for granted: with the second that processes take to hear of a change, 2 s."""
NOT_RUNNING = "not_running"


@blueprint.route("/experiment/variant", name="variant")
class ExperimentVariant(Resource):
    """What a visitor is shown."""

    public = True
    tag = "A/B Experiments"

    @operation(query=VariantQuery, answer=AssignmentOut, errors=(NotFound,))
    async def get(self, request: Request) -> Response:
        """The variant a visitor is shown, the same at every asking, and their first exposure to it.

        The control with `in_experiment: false` where the visitor does not take part: the experiment is not running,
        the visitor lies outside its traffic, has opted out, is a bot, or cannot be counted right now.
        """
        query = self.query(request, VariantQuery)
        experiment = await experiment_of(query.experiment_id)
        assignment = await shown(request, experiment, query.visitor_id, query.variant_id)
        body = answer_of(assignment)
        headers = {
            "Cache-Control": f"private, max-age={KEPT_S}",
            "Vary": "DNT, Sec-GPC, User-Agent",
            "ETag": f'"{sha256(body).hexdigest()[:20]}"',
        }
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status=304, headers=headers)
        headers["Content-Type"] = "application/json"
        return Response(body=body, headers=headers)


@blueprint.route("/experiment/exposure", name="exposure")
class ExperimentExposure(Tracking):
    """What a website assigned itself."""

    tag = "A/B Experiments"

    @operation(body=ExposureBody, answer=Ok, also={202: Ok}, errors=(NotFound, Forbidden, RateLimited, Unavailable))
    async def post(self, request: Request) -> Response:
        """Tell that a visitor was shown a variant, where the website assigns by itself.

        `ok` without `ignored` means that it is durable. Whoever sees two variants is left out of the results.
        """
        body = await self.body(request, ExposureBody)
        website = await intake.website_of(body.key)
        experiment = await experiment_of(str(body.experiment_id))
        if experiment.website_id != website.id:
            raise NotFound("The website has no such experiment")
        variant = experiment.variant(body.variant_id)
        if variant is None:
            raise Invalid(details=[FaultyField("variant_id", "must be a variant of the experiment")])
        if experiment.status is not Status.RUNNING:
            return answered(Answer(ignored=NOT_RUNNING))
        visitor = intake.hash_of(website, body.visitor_id)
        reason = intake.left_out(request, website, visitor)
        if reason is not None:
            return answered(Answer(ignored=reason.value if reason.told else None))
        await told_once(experiment, variant.id, visitor)
        return answered(Answer())


async def experiment_of(said: str) -> Experiment:
    """The experiment of that id. Raises `NotFound` where there is none, `Unavailable` where that cannot be known."""
    found = None
    if said.isascii() and said.isdecimal() and len(said) <= 16 and 0 < int(said) <= MAX_ROW_ID:
        found = await KNOWN.find(int(said))
    if found is None:
        raise NotFound("There is no such experiment")
    return found


async def shown(request: Request, experiment: Experiment, visitor_id: str, forced: str = "") -> Assignment:
    """What the visitor is shown; whoever takes part is counted first. On any doubt the control."""
    outside = Assignment(experiment.control, in_experiment=False)
    website = DEFINITIONS.website(experiment.website_id)
    if website is None or experiment.status is not Status.RUNNING or not counts(website):
        return outside
    wanted = experiment.variant(int(forced)) if forced.isascii() and forced.isdecimal() and len(forced) < 16 else None
    visitor = intake.hash_of(website, visitor_id)
    assignment = assign(experiment, visitor) if wanted is None else Assignment(wanted, in_experiment=True)
    if not assignment.in_experiment or assignment.variant is None:
        return outside
    try:
        if intake.left_out(request, website, visitor) is not None:
            return outside
        await told_once(experiment, assignment.variant.id, visitor)
    except AnalyticsError:  # too many at once, or Kafka is away: who cannot be counted must not be shown a variant
        return outside
    return assignment


def counts(website: Website) -> bool:
    """Whether anything of the website is counted."""
    return website.is_enabled and website.tracking_enabled


async def told_once(experiment: Experiment, variant_id: int, visitor: str) -> None:
    """Tell that the visitor is shown the variant now, unless that was told; returns once Kafka has it.

    Raises `RateLimited`, and `Unavailable` as `Exposures.tell` does.
    """
    if EXPOSURES.is_told(experiment.id, variant_id, visitor):
        return
    await LIMITS.take(experiment.website_id)
    await EXPOSURES.tell(
        Exposure(
            experiment_id=experiment.id,
            variant_id=variant_id,
            website_id=experiment.website_id,
            visitor=visitor,
            at_ms=clock.now_ms(),
        )
    )


def answer_of(assignment: Assignment) -> bytes:
    """The assignment as JSON, by the shape `AssignmentOut`."""
    variant = assignment.variant
    return orjson.dumps(
        {
            "variant_id": variant.id if variant else None,
            "variant_name": variant.name if variant else None,
            "config": variant.config if variant else {},
            "in_experiment": assignment.in_experiment,
        }
    )
