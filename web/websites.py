"""Websites: `/analytics/websites`."""

import uuid
from datetime import timedelta

import faust
from aiohttp.web import Request, Response

from analytics_app import clock
from analytics_app.db import transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Forbidden, NotFound
from analytics_app.shapes import encode_cursor, id_after
from analytics_app.websites import store
from analytics_app.websites.schemas import (
    PixelKeyBody,
    PixelKeyOut,
    PreviousKeyOut,
    WebsiteBody,
    WebsiteOut,
    WebsitePatch,
    WebsitesQuery,
)
from web.resource import One, Page, Resource, operation

blueprint = faust.web.Blueprint("websites")


@blueprint.route("/websites", name="list")
class Websites(Resource):
    """The websites of the token's workspace."""

    tag = "Websites"

    @operation(query=WebsitesQuery, answer=Page(WebsiteOut))
    async def get(self, request: Request) -> Response:
        """List websites."""
        query, caller = self.query(request, WebsitesQuery), self.caller(request)
        async with transaction() as db:
            rows = await store.websites_of(
                db,
                caller.workspace_id,
                after=id_after(query.cursor),
                limit=query.limit + 1,
                channel_type=query.channel_type,
                ids=caller.website_ids,
            )
        page = [WebsiteOut.model_validate(row) for row in rows[: query.limit]]
        return self.page(page, encode_cursor(page[-1].id) if len(rows) > query.limit else None)

    @operation(body=WebsiteBody, answer=One(WebsiteOut), status=201)
    async def post(self, request: Request) -> Response:
        """Create a website. Its pixel key can be used everywhere once this is answered."""
        caller = self.caller(request)
        if caller.website_ids is not None:
            raise Forbidden("The token is restricted to certain websites: it cannot make another")
        body = await self.body(request, WebsiteBody)
        async with transaction() as db:
            website_id = await store.add_website(db, caller.workspace_id, body.model_dump(), uuid.uuid4())
        return await answer(caller.workspace_id, website_id, self, status=201)


@blueprint.route("/websites/{website_id}", name="one")
class OneWebsite(Resource):
    """One website."""

    tag = "Websites"

    @operation(answer=One(WebsiteOut))
    async def get(self, request: Request, website_id: str) -> Response:
        """Get a website."""
        return await answer(self.caller(request).workspace_id, self.covered(request, website_id), self, renew=False)

    @operation(body=WebsiteBody, answer=One(WebsiteOut))
    async def put(self, request: Request, website_id: str) -> Response:
        """Update a website: all fields. What is left out goes back to its default."""
        wanted = self.covered(request, website_id)
        body = await self.body(request, WebsiteBody)
        return await self.change(request, wanted, body.model_dump())

    @operation(body=WebsitePatch, answer=One(WebsiteOut))
    async def patch(self, request: Request, website_id: str) -> Response:
        """Update a website: the fields given."""
        wanted = self.covered(request, website_id)
        body = await self.body(request, WebsitePatch)
        return await self.change(request, wanted, body.changes())

    @operation(status=204)
    async def delete(self, request: Request, website_id: str) -> Response:
        """Delete a website. It is gone at once; what it had recorded is removed in the background."""
        wanted = self.covered(request, website_id)
        async with transaction() as db:
            if not await store.delete_website(db, self.caller(request).workspace_id, wanted, clock.now()):
                raise NotFound
        await DEFINITIONS.renew_one("website", wanted)
        return self.no_content()

    async def change(self, request: Request, website_id: int, values: dict[str, object]) -> Response:
        """Write `values` and answer with the website as it is then."""
        caller = self.caller(request)
        async with transaction() as db:
            if not await store.change_website(db, caller.workspace_id, website_id, values):
                raise NotFound
        return await answer(caller.workspace_id, website_id, self)


@blueprint.route("/websites/{website_id}/pixel-key", name="pixel_key")
class PixelKey(Resource):
    """The key a website's pages track with."""

    tag = "Websites"

    @operation(body=PixelKeyBody, body_required=False, answer=One(PixelKeyOut), status=201)
    async def post(self, request: Request, website_id: str) -> Response:
        """Make a new pixel key. The present one goes on working for `grace_hours`."""
        caller, wanted = self.caller(request), self.covered(request, website_id)
        body = await self.body(request, PixelKeyBody, optional=True)
        key, now = uuid.uuid4(), clock.now()
        async with transaction() as db:
            if await store.website_of(db, caller.workspace_id, wanted) is None:
                raise NotFound
            before = await store.replace_pixel_key(db, wanted, key, now, timedelta(hours=body.grace_hours))
        await DEFINITIONS.renew_one("website", wanted)
        previous = before and PreviousKeyOut(pixel_key=before[0], expires_at=before[1])
        return self.one(PixelKeyOut(website_id=wanted, pixel_key=key, created_at=now, previous=previous), status=201)


async def answer(
    workspace_id: int, website_id: int, view: Resource, *, status: int = 200, renew: bool = True
) -> Response:
    """The website, as it stands in Postgres; `renew` makes this process' own copy follow first. Raises `NotFound`."""
    async with transaction() as db:
        row = await store.website_of(db, workspace_id, website_id)
    if row is None:
        raise NotFound
    if renew:
        await DEFINITIONS.renew_one("website", website_id)
    return view.one(WebsiteOut.model_validate(row), status=status)
