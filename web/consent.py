"""Consent (`/analytics/gdpr/consent`): given, withdrawn, asked for."""

import faust
from aiohttp.web import Request, Response

from analytics_app import clock, subjects
from analytics_app.consents import CONSENTS
from analytics_app.db import driver_of, transaction
from analytics_app.errors import NotFound, RateLimited, Unavailable
from analytics_app.gdpr import store
from analytics_app.gdpr.schemas import ConsentBody, OkOut, StatusOut, VisitorQuery, WithdrawalQuery
from analytics_app.websites.logic import Website
from web import bodies, intake
from web.intake import hash_of
from web.limits import LIMITS
from web.resource import Resource, operation, validated

blueprint = faust.web.Blueprint("consent")


async def said(website: Website, visitor: str, status: str, policy_version: str) -> None:
    """Note what a visitor says about consent; this process knows at once, the others as soon as Postgres tells."""
    async with transaction() as db:
        await store.set_consent(db, website.id, visitor, status, policy_version, clock.now())
        if status == "withdrawn":
            await subjects.close(await driver_of(db), website.id, visitor)
    CONSENTS.note(website.id, visitor, status)


class Public(Resource):
    """A view for pages of any origin."""

    public = True
    tag = "GDPR"

    async def website_of(self, key: str) -> Website:
        """The website of a pixel key, counted against the rate limit. Raises `NotFound`, `RateLimited`."""
        website = await intake.known_website(key)
        await LIMITS.take(website.id)
        return website


@blueprint.route("/gdpr/consent", name="consent")
class Consent(Public):
    """A visitor's consent."""

    @operation(body=ConsentBody, answer=OkOut, errors=(NotFound, RateLimited, Unavailable))
    async def post(self, request: Request) -> Response:
        """Record that a visitor consents. `ok` means that it is noted for good."""
        body = await self.body(request, ConsentBody)
        website = await self.website_of(body.pixel_key)
        await said(website, hash_of(website, body.visitor_id), "granted", body.policy_version)
        return self.json(OkOut())

    @operation(
        body=ConsentBody,
        body_required=False,
        query=WithdrawalQuery,
        answer=OkOut,
        errors=(NotFound, RateLimited, Unavailable),
    )
    async def delete(self, request: Request) -> Response:
        """Withdraw consent: nothing of the visitor is stored from here on. Fields are read from body or query."""
        query = self.query(request, WithdrawalQuery)
        sent = await bodies.read(request)
        values = {**query.model_dump(exclude_none=True), **(bodies.json_object(sent) if sent else {})}
        body = validated(ConsentBody, values)
        website = await self.website_of(body.pixel_key)
        await said(website, hash_of(website, body.visitor_id), "withdrawn", body.policy_version)
        return self.json(OkOut())


@blueprint.route("/gdpr/consent/status", name="consent_status")
class ConsentStatus(Public):
    """What a visitor said last."""

    @operation(query=VisitorQuery, answer=StatusOut, errors=(NotFound, RateLimited, Unavailable))
    async def get(self, request: Request) -> Response:
        """Whether a visitor consents, and since when."""
        query = self.query(request, VisitorQuery)
        website = await self.website_of(query.pixel_key)
        async with transaction() as db:
            row = await store.consent_of(db, website.id, hash_of(website, query.visitor_id))
        if row is None:
            return self.json(StatusOut(consented=False, status="unknown", at=None))
        return self.json(
            StatusOut(
                consented=row.status == "granted",
                status=row.status,
                at=row.at,
                policy_version=row.policy_version or None,
            )
        )
