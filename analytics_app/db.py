"""Postgres: the engine, one way to a transaction, and the base of every row."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, ClassVar

import orjson
from sqlalchemy import URL, BigInteger, DateTime, MetaData, make_url
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from analytics_app.embedded.endpoints import resolve
from analytics_app.settings import settings


class Row(DeclarativeBase):
    """The base of every Postgres row; names of constraints are fixed so that migrations can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: JSONB}


Time = DateTime(timezone=True)
Uuid = UUID(as_uuid=True)
Big = BigInteger


def database_url(url: str) -> URL:
    """`url` for SQLAlchemy with psycopg 3, whatever of the common spellings it came in."""
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg")


@lru_cache(maxsize=1)
def engine() -> AsyncEngine:
    """This process' pool of connections; made at its first use."""
    return create_async_engine(
        database_url(resolve(settings()).database_url),
        pool_size=settings().database_pool,
        max_overflow=settings().database_pool,
        pool_pre_ping=True,
        pool_timeout=5,
        pool_recycle=1800,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={"connect_timeout": 5, "application_name": "analytics", "options": "-c timezone=UTC"},
    )


@asynccontextmanager
async def transaction() -> AsyncIterator[AsyncConnection]:
    """One transaction: committed at the end of the block, undone if it raises.

    Raises `sqlalchemy.exc.DBAPIError` (`connection_invalidated` where Postgres went away).
    """
    async with engine().begin() as db:
        yield db


async def dispose() -> None:
    """Close every connection of this process."""
    if engine.cache_info().currsize:
        await asyncio.shield(engine().dispose())
        engine.cache_clear()
