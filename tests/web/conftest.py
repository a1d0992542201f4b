"""The API as a client meets it: the real views on a real Postgres, without Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from analytics_app.websites.logic import SCOPES
from tests.web.calls import Caller


class Server(TestServer):
    """The application on the server that it has in production."""

    async def _make_runner(self, **_: Any) -> Any:
        from web.server import Runner

        return Runner(self.app)


SENT: list[tuple[str, bytes]] = []
"""What the edge was given, in place of Kafka: the session's key and the hit."""


NOTED: list[bytes] = []
"""What the edge detected."""


@pytest.fixture
def noted() -> list[bytes]:
    """What the test makes the edge detect."""
    NOTED.clear()
    return NOTED


@pytest.fixture
def sent() -> list[tuple[str, bytes]]:
    """What the test makes the edge send."""
    SENT.clear()
    return SENT


@pytest.fixture(scope="session")
async def client(database: str) -> AsyncIterator[TestClient[Any, Any]]:
    """A client of the whole web application."""
    import web  # noqa: F401 - mounts the views
    from analytics_app.app import app
    from analytics_app.db import dispose
    from analytics_app.definitions import DEFINITIONS
    from web import exposures
    from web.heatmap_samples import SAMPLES
    from web.intake import EDGE
    from web.judging import DETECTED
    from web.limits import LIMITS
    from web.recording import EDGE as RECORDINGS

    async def nothing() -> None:
        """Kafka is not there, and not missed."""

    def keep(session_key: str, hit: bytes) -> asyncio.Future[None]:
        SENT.append((session_key, hit))
        return keep_nothing()

    def note(session_key: str, detection: bytes) -> asyncio.Future[None]:
        NOTED.append(detection)
        return keep_nothing()

    def keep_nothing() -> asyncio.Future[None]:
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged

    for edge in (EDGE, DETECTED, exposures.EDGE, SAMPLES):
        edge.on_start = edge.on_stop = nothing  # type: ignore[method-assign]
    exposures.EDGE.put = keep  # type: ignore[method-assign]
    SAMPLES.put = keep  # type: ignore[method-assign]
    EDGE.put = keep  # type: ignore[method-assign]
    DETECTED.put = note  # type: ignore[method-assign]
    RECORDINGS.on_start = RECORDINGS.on_stop = nothing  # type: ignore[method-assign]
    RECORDINGS.put = keep  # type: ignore[method-assign]
    LIMITS.budget = None  # thousands of calls within a minute
    app.web.init_server()
    fresh = asyncio.create_task(DEFINITIONS.keep_fresh())
    await DEFINITIONS.ready()
    async with TestClient(Server(app.web.web_app)) as client:
        yield client
    fresh.cancel()
    with suppress(asyncio.CancelledError):
        await fresh  # it closes its connection
    await dispose()


async def new_caller(client: TestClient[Any, Any], workspace: str, scope: str = "admin", **values: Any) -> Caller:
    """A caller with a fresh token in that workspace, which is made where it is missing."""
    from analytics_app.db import transaction
    from analytics_app.websites import store, tokens_store
    from analytics_app.websites.logic import token_hash

    token = tokens_store.new_token()
    async with transaction() as db:
        workspace_id = await store.ensure_workspace(db, workspace)
        row = await tokens_store.add_token(
            db, workspace_id, token_hash(token), {"name": f"test {scope}", "scopes": [scope], **values}
        )
    return Caller(client, token, row.id, workspace_id)


@pytest.fixture(scope="session")
async def admin(client: TestClient[Any, Any]) -> Caller:
    """An admin of the workspace `default`."""
    return await new_caller(client, "default")


@pytest.fixture(scope="session")
async def by_scope(client: TestClient[Any, Any]) -> dict[str, Caller]:
    """A caller of the workspace `default` for each scope."""
    return {scope: await new_caller(client, "default", scope) for scope in SCOPES}


@pytest.fixture(scope="session")
async def stranger(client: TestClient[Any, Any]) -> Caller:
    """An admin of another workspace."""
    return await new_caller(client, "elsewhere")


@pytest.fixture(scope="session")
def nobody(client: TestClient[Any, Any]) -> Caller:
    """Somebody without a token."""
    return Caller(client, None)
