"""Whether the process lives, and whether it can do its work: `/health/live`, `/health/ready`."""

import asyncio
from collections.abc import Awaitable, Callable

import faust
from aiohttp.web import Request, Response
from pydantic import Field

from analytics_app import db, migrate
from analytics_app.app import app
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Unavailable
from analytics_app.settings import settings
from analytics_app.shapes import Shape
from web.presence import PRESENCE
from web.resource import Resource, operation

blueprint = faust.web.Blueprint("health")

WITHIN_S = 2.0

Check = Callable[[], Awaitable[str | None]]
"""Says what a part still lacks; None where it is ready."""


class LiveOut(Shape):
    """The process runs and answers."""

    ok: bool = True


class ReadyOut(Shape):
    """Every part is ready."""

    ok: bool = True
    parts: dict[str, str] = Field(examples=[{"postgres": "ready", "kafka": "ready"}])


class NotReadyOut(ReadyOut):
    """Some part is not ready: an error with one field more."""

    ok: bool = Field(False, json_schema_extra={"const": False})
    error: str = Field(examples=["Not ready (kafka: does not answer)"])
    code: str = Unavailable.code


@blueprint.route("/live", name="live")
class Live(Resource):
    """Whether the process lives."""

    public = True
    tag = "Service"

    @operation(answer=LiveOut)
    async def get(self, request: Request) -> Response:
        """Whether the process answers. Where it does not, restart it."""
        return self.json(LiveOut())


@blueprint.route("/ready", name="ready")
class Ready(Resource):
    """Whether the process can do its work."""

    public = True
    tag = "Service"

    @operation(answer=ReadyOut, also={503: NotReadyOut})
    async def get(self, request: Request) -> Response:
        """Whether every part is ready: Postgres, its schema, Kafka, the definitions. 503 says which is not."""
        lacking = await lacks()
        parts = {name: found or "ready" for name, found in lacking.items()}
        missing = [f"{name}: {found}" for name, found in lacking.items() if found]
        if not missing:
            return self.json(ReadyOut(parts=parts))
        error = NotReadyOut(parts=parts, error=f"Not ready ({'; '.join(missing)})")
        return self.json(error, status=503, headers={"Retry-After": "2"})


async def lacks() -> dict[str, str | None]:
    """What each part of this process still lacks; None where it is ready."""
    checks = CHECKS[settings().role]
    found = await asyncio.gather(*(_bounded(check) for check in checks.values()))
    return dict(zip(checks, found, strict=True))


async def _bounded(check: Check) -> str | None:
    # Left to itself where it hangs: what hangs mostly hangs in cancelling, too.
    asked = asyncio.ensure_future(check())
    done, _ = await asyncio.wait({asked}, timeout=WITHIN_S)
    if not done:
        asked.add_done_callback(lambda late: late.cancelled() or late.exception())
        return f"no answer within {WITHIN_S:g} s"
    try:
        return asked.result()
    except Exception as error:  # noqa: BLE001 - a check that breaks is a part that is not ready
        return type(error).__name__


async def _postgres() -> str | None:
    await PRESENCE.look()
    return "does not answer" if PRESENCE.is_away() else None


_at_newest = False


async def _schema() -> str | None:
    global _at_newest  # noqa: PLW0603 - a schema never goes back while a process runs
    if not _at_newest:
        if PRESENCE.is_away():
            return "not known"
        at, newest = await db.revision(), migrate.newest()
        _at_newest = at == newest
        if not _at_newest:
            return f"at {at or 'nothing'}, needs {newest}: run `analytics migrate`"
    return None


async def _definitions() -> str | None:
    return None if DEFINITIONS.loaded else "not read yet"


async def _edge() -> str | None:
    from web.intake import EDGE  # noqa: PLC0415 - a worker has no edge

    if EDGE.producer is None:
        return "not connected"
    if not await EDGE.producer.client.force_metadata_update():
        return "does not answer"
    return None if EDGE.is_connected() else "the last record was not acknowledged"


async def _stream() -> str | None:
    if app.rebalancing:
        return "rebalancing"
    return None if app.consumer.assignment() else "no partition assigned"


SHARED: dict[str, Check] = {"postgres": _postgres, "migrations": _schema, "definitions": _definitions}
CHECKS: dict[str, dict[str, Check]] = {
    "web": {**SHARED, "kafka": _edge},
    "worker": {**SHARED, "stream": _stream},
    "all": {**SHARED, "kafka": _edge, "stream": _stream},
}
