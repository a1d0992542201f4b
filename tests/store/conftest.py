"""Store tests: a migrated database of their own; whatever a test writes is undone after it."""

import secrets
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from analytics_app.db import database_url
from analytics_app.migrate import upgrade


@pytest.fixture(scope="session")
def store_url(server_url: str) -> Iterator[str]:
    """The address of a fresh, migrated database."""
    name = f"store_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    url = database_url(server_url).set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    upgrade(url)
    yield url
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def db(store_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection whose transaction is undone after the test."""
    engine = create_async_engine(database_url(store_url), connect_args={"options": "-c timezone=UTC"})
    try:
        async with engine.connect() as connection:
            outer = await connection.begin()
            yield connection
            await outer.rollback()
    finally:
        await engine.dispose()
