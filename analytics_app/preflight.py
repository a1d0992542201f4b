"""What must be in place before a process starts: topics, schema, and the secret that all processes share.

`analytics up` sees to it; a plain Faust worker finds it or refuses to start: an agent whose topic was missing when it
started would consume nothing until it is started again. Kafka and Postgres it waits for.
"""

from collections.abc import Awaitable, Callable
from hashlib import blake2b

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import migrate
from analytics_app.db import database_url, is_away, transaction
from analytics_app.embedded.endpoints import resolve
from analytics_app.embedded.errors import NotStarted
from analytics_app.installation import store
from analytics_app.secret import secret
from analytics_app.settings import settings
from analytics_app.stream import plans

FINGERPRINT = "secret"
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0

log = structlog.get_logger(__name__)


class NotPrepared(RuntimeError):
    """Raised when a process must not start; says what to do."""


async def wait(sleep: Callable[[float], Awaitable[None]], is_over: Callable[[], bool]) -> bool:
    """Return whether this process may start: once Kafka and Postgres answer, False where it `is_over` before.

    Each try that fails is logged, with the address. `sleep` is for the pauses. Raises `NotPrepared` where waiting would
    not help.
    """
    pause_s = FIRST_PAUSE_S
    while not is_over():
        try:
            await check()
        except Exception as error:
            where = _away(error)
            if where is None:
                raise
            log.warning(
                "cannot start yet: a server takes no connection, trying again",
                server=where,
                error=_said(error),
                again_in_s=pause_s,
            )
            await sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        else:
            return True
    return False


def _away(error: Exception) -> str | None:
    """Which server `error` says is away, and its address; None where it says something else."""
    if isinstance(error, NotPrepared | NotStarted):
        return None
    if isinstance(error, KafkaError):
        return f"Kafka at {resolve(settings()).kafka_bootstrap}"
    if is_away(error):
        url = database_url(resolve(settings()).database_url)
        return f"Postgres at {url.host or 'its socket'}:{url.port or 5432}"
    return None


def _said(error: Exception) -> str:
    """Its first line."""
    lines = str(getattr(error, "orig", None) or error).split("\n")
    return lines[0].strip() or repr(error)


async def check() -> None:
    """Return where this process may start. Raises `NotPrepared`, or what Kafka and Postgres raise when away."""
    try:
        missing = await plans.missing_topics()
    except plans.TopicMismatch as error:
        raise NotPrepared(str(error)) from None
    if missing:
        raise NotPrepared(f"topics are missing: {', '.join(missing)}. Run `analytics topics`")
    async with transaction() as db:
        await db.run_sync(lambda connection: _check_schema(migrate.current(connection)))
        if settings().role != "worker":
            await _check_secret(db)


def _check_schema(revision: str | None) -> None:
    """A database ahead of this code is fine: migrations go forward while older processes still run."""
    if revision == migrate.newest():
        return
    if revision is None or migrate.knows(revision):
        raise NotPrepared("the database is behind this version. Run `analytics migrate`")


async def _check_secret(db: AsyncConnection) -> None:
    """The first web process notes what its secret looks like; one with another would split every visitor in two."""
    mine = blake2b(secret(settings()), digest_size=8, person=b"fingerprint").hexdigest()
    if await store.agree_on(db, FINGERPRINT, mine) != mine:
        raise NotPrepared(
            "ANALYTICS_SECRET (or the file `secret` in the data folder) is not the one this database was begun with: "
            "every visitor would be counted anew. Give every web process the same; to begin anew on purpose, delete "
            "the row `secret` of the table `installation`"
        )
