"""What must be in place before a process starts: topics, schema, and the secret that all processes share.

`analytics up` sees to it; a plain Faust worker finds it or refuses to start: an agent whose topic was missing when it
started would consume nothing until it is started again.
"""

from hashlib import blake2b

from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import migrate
from analytics_app.db import transaction
from analytics_app.installation import store
from analytics_app.secret import secret
from analytics_app.settings import settings
from analytics_app.stream import plans

FINGERPRINT = "secret"


class NotPrepared(RuntimeError):
    """Raised when a process must not start; says what to do."""


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
