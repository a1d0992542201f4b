"""Bring the database to this version's schema, and its partitions up to date."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine

from analytics_app import clock
from analytics_app.db import database_url
from analytics_app.embedded.endpoints import resolve
from analytics_app.partitions import around, make_partitions
from analytics_app.settings import settings


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    return config


def _engine(url: str | None) -> Engine:
    return create_engine(database_url(url or resolve(settings()).database_url))


def upgrade(url: str | None = None) -> str:
    """Run what is missing of the migrations and make the partitions of the months around now.

    Returns the revision the database is at. Safe to run from several processes at once: one migrates, the others wait.
    Raises `sqlalchemy.exc.OperationalError` where Postgres is away or a lock could not be had.
    """
    config, engine = _config(), _engine(url)
    try:
        with engine.begin() as db:
            config.attributes["connection"] = db
            command.upgrade(config, "head")
        with engine.begin() as db:
            make_partitions(db, *around(clock.now()))
            return current(db) or ""
    finally:
        engine.dispose()


def current(db: Connection) -> str | None:
    """The revision that the database is at; None for an empty one."""
    return MigrationContext.configure(db).get_current_revision()


def newest() -> str:
    """The revision that this version of the code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def knows(revision: str) -> bool:
    """Whether this version of the code has that revision: one it has not is of a later version."""
    return revision in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
