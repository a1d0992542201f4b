"""How Alembic finds our rows and our database."""

from alembic import context
from sqlalchemy import Connection, create_engine, text

from analytics_app.db import Row, database_url
from analytics_app.embedded.endpoints import resolve
from analytics_app.models import ALL_MODELS
from analytics_app.partitions import is_partition
from analytics_app.settings import settings

assert ALL_MODELS  # importing them registers every table on `Row.metadata`

MIGRATION_LOCK = 7_203_117
"""Advisory lock: of several processes that start at once, one migrates and the others wait for it."""


def include_object(_item: object, name: str | None, kind: str, reflected: bool, _compared: object) -> bool:
    """Leave partitions alone: they are made by a job, and autogenerate would drop them."""
    return not (kind in {"table", "index"} and reflected and name is not None and is_partition(name))


def migrate(connection: Connection) -> None:
    """Bring `connection`'s database to the newest revision, in one transaction."""
    context.configure(connection=connection, target_metadata=Row.metadata, include_object=include_object)
    with context.begin_transaction():
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with create_engine(database_url(resolve(settings()).database_url)).connect() as own:
        migrate(own)
        own.commit()
