"""What must be there before anybody can do anything: a workspace, a first website, a token."""

import asyncio
import uuid
from dataclasses import dataclass

import structlog

from analytics_app.db import transaction
from analytics_app.settings import settings
from analytics_app.websites import store, tokens_store
from analytics_app.websites.logic import token_hash

log = structlog.get_logger(__name__)

WORKSPACE = "default"
FIRST_WEBSITE = {"name": "My website", "host": "localhost"}


@dataclass(frozen=True)
class Bootstrapped:
    """What there is to start with. `token` only where it was made just now: it is shown this once."""

    token: str | None
    website_id: int
    pixel_key: str


async def first_website_and_token() -> Bootstrapped:
    """Make what is missing of the workspace `default`, its first website and an admin token.

    Run again, or by several processes at once, it makes nothing twice. `ANALYTICS_BOOTSTRAP_TOKEN`, where it is set,
    is the token, on later starts too. Raises what the database raises.
    """
    async with transaction() as db:
        await store.alone(db, "bootstrap")
        workspace_id = await store.ensure_workspace(db, WORKSPACE)
        website = next(iter(await store.websites_of(db, workspace_id, limit=1)), None)
        if website is None:
            website_id = await store.add_website(db, workspace_id, FIRST_WEBSITE, uuid.uuid4())
            website = await store.website_of(db, workspace_id, website_id)
        assert website is not None
        given = settings().bootstrap_token.get_secret_value()
        token = None
        if given:
            await tokens_store.accept_token(db, workspace_id, token_hash(given), "Bootstrap token")
        elif not await tokens_store.has_tokens(db, workspace_id):
            token = tokens_store.new_token()
            await tokens_store.add_token(
                db, workspace_id, token_hash(token), {"name": "First token", "scopes": ["admin"]}
            )
        key = website.pixel_key or await store.give_pixel_key(db, website.id, uuid.uuid4())
        return Bootstrapped(token, website.id, str(key))


async def accept_given_token() -> None:
    """Make the workspace `default` and take `ANALYTICS_BOOTSTRAP_TOKEN` for an admin token of it, where it is set."""
    given = settings().bootstrap_token.get_secret_value()
    async with transaction() as db:
        await store.alone(db, "bootstrap")
        workspace_id = await store.ensure_workspace(db, WORKSPACE)
        if given:
            await tokens_store.accept_token(db, workspace_id, token_hash(given), "Bootstrap token")


async def accept_given_token_in_time() -> None:
    """The same at the start of a process, until Postgres is there and its schema with it."""
    while True:
        try:
            await accept_given_token()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told and tried again
            log.warning("the default workspace cannot be made yet", error=str(error).strip().split("\n")[0])
            await asyncio.sleep(2)
        else:
            return
