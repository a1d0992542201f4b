"""Tokens: `/analytics/tokens`. For admin tokens that are not restricted to certain websites."""

from collections.abc import Mapping
from typing import Any

import faust
from aiohttp.web import Request, Response

from analytics_app.db import transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Conflict, Forbidden, NotFound
from analytics_app.shapes import PageQuery, encode_cursor, id_after
from analytics_app.websites import store, tokens_store
from analytics_app.websites.logic import Token, token_hash
from analytics_app.websites.schemas import NewTokenOut, TokenBody, TokenOut, TokenPatch
from web.resource import One, Page, Resource, operation

blueprint = faust.web.Blueprint("tokens")


class TokenResource(Resource):
    """What both views of tokens share."""

    tag = "Tokens"

    def manager(self, request: Request) -> Token:
        """The caller, who may manage tokens. Raises `Forbidden`: a restricted token could make itself a wider one."""
        caller = self.caller(request)
        if caller.website_ids is not None:
            raise Forbidden("The token is restricted to certain websites: it cannot manage tokens")
        return caller


@blueprint.route("/tokens", name="list")
class Tokens(TokenResource):
    """The tokens of the token's workspace."""

    @operation(query=PageQuery, answer=Page(TokenOut), scope="admin")
    async def get(self, request: Request) -> Response:
        """List tokens: what they may do, never the tokens themselves."""
        query, caller = self.query(request, PageQuery), self.manager(request)
        async with transaction() as db:
            rows = await tokens_store.tokens_of(
                db, caller.workspace_id, after=id_after(query.cursor), limit=query.limit + 1
            )
        page = [TokenOut.model_validate(row) for row in rows[: query.limit]]
        return self.page(page, encode_cursor(page[-1].id) if len(rows) > query.limit else None)

    @operation(body=TokenBody, answer=One(NewTokenOut), status=201, scope="admin")
    async def post(self, request: Request) -> Response:
        """Create a token. The answer is the only place where it is ever shown."""
        caller = self.manager(request)
        values = stored(await self.body(request, TokenBody))
        token = tokens_store.new_token()
        async with transaction() as db:
            await check_websites(db, caller.workspace_id, values)
            row = await tokens_store.add_token(db, caller.workspace_id, token_hash(token), values)
        await DEFINITIONS.renew_one("token", row.id)
        return self.one(NewTokenOut(**TokenOut.model_validate(row).model_dump(), token=token), status=201)


@blueprint.route("/tokens/{token_id}", name="one")
class OneToken(TokenResource):
    """One token."""

    @operation(answer=One(TokenOut), scope="admin")
    async def get(self, request: Request, token_id: str) -> Response:
        """Get a token: what it may do, never the token itself."""
        return await self.answer(self.manager(request), self.id(token_id))

    @operation(body=TokenBody, answer=One(TokenOut), scope="admin", errors=(Conflict,))
    async def put(self, request: Request, token_id: str) -> Response:
        """Update a token: all fields. What is left out goes back to its default."""
        caller, wanted = self.manager(request), self.id(token_id)
        return await self.change(caller, wanted, stored(await self.body(request, TokenBody)))

    @operation(body=TokenPatch, answer=One(TokenOut), scope="admin", errors=(Conflict,))
    async def patch(self, request: Request, token_id: str) -> Response:
        """Update a token: the fields given."""
        caller, wanted = self.manager(request), self.id(token_id)
        return await self.change(caller, wanted, stored(await self.body(request, TokenPatch)))

    @operation(status=204, scope="admin", errors=(Conflict,))
    async def delete(self, request: Request, token_id: str) -> Response:
        """Revoke a token. It is refused everywhere within 2 seconds."""
        caller, wanted = self.manager(request), self.id(token_id)
        if wanted == caller.id:
            raise Conflict("A token cannot revoke itself: use another, or the command line")
        async with transaction() as db:
            if not await tokens_store.revoke_token(db, caller.workspace_id, wanted):
                raise NotFound
        await DEFINITIONS.renew_one("token", wanted)
        return self.no_content()

    async def change(self, caller: Token, token_id: int, values: Mapping[str, Any]) -> Response:
        """Write `values` and answer with the token as it is then."""
        if token_id == caller.id and narrows(caller, values):
            raise Conflict("A token cannot change what it may do itself: use another, or the command line")
        async with transaction() as db:
            await check_websites(db, caller.workspace_id, values)
            if values and not await tokens_store.change_token(db, caller.workspace_id, token_id, values):
                raise NotFound
        await DEFINITIONS.renew_one("token", token_id)
        return await self.answer(caller, token_id)

    async def answer(self, caller: Token, token_id: int) -> Response:
        """The token, as it stands in Postgres."""
        async with transaction() as db:
            row = await tokens_store.token_of(db, caller.workspace_id, token_id)
        if row is None:
            raise NotFound
        return self.one(TokenOut.model_validate(row))


def stored(body: TokenBody | TokenPatch) -> dict[str, Any]:
    """The fields given, as they are kept: lists sorted, without repetition."""
    values = body.changes() if isinstance(body, TokenPatch) else body.model_dump()
    return {name: sorted(set(value)) if isinstance(value, list) else value for name, value in values.items()}


def narrows(caller: Token, values: Mapping[str, Any]) -> bool:
    """Whether `values` would change what the caller's own token may do: nobody is to lock himself out by mistake."""
    now = {"scopes": sorted(caller.scopes), "website_ids": None, "expires_at": caller.expires_at}
    return any(name in values and values[name] != value for name, value in now.items())


async def check_websites(db: Any, workspace_id: int, values: Mapping[str, Any]) -> None:
    """Raises `NotFound` where one of `website_ids` is no website of the workspace."""
    wanted = values.get("website_ids") or []
    known = await store.covers_websites(db, workspace_id, wanted) if wanted else set()
    unknown = [id_ for id_ in wanted if id_ not in known]
    if unknown:
        listed = ", ".join(map(str, unknown[:10]))
        raise NotFound(f"website_ids: there is no such website: {listed}")
