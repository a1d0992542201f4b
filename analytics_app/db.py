"""Postgres: the engine, one way to a transaction, and the base of every row."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import orjson
import psycopg
from sqlalchemy import URL, BigInteger, DateTime, MetaData, make_url, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from analytics_app.embedded.endpoints import resolve
from analytics_app.embedded.errors import NotStarted
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


AsyncDriver = psycopg.AsyncConnection[Any]
Time = DateTime(timezone=True)
Uuid = UUID(as_uuid=True)
Big = BigInteger


Found = TypeVar("Found")

ANSWERED_WITHIN_S = 2.0
OPTIONS = "-c timezone=UTC -c lock_timeout=5000 -c idle_in_transaction_session_timeout=20000"
"""A paused process must not hold a position for long: the server ends its transaction, and the lock with it."""


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
        max_overflow=settings().database_pool + 4,
        pool_pre_ping=True,
        pool_use_lifo=True,  # few connections do most, so what they prepared is used again
        pool_timeout=5,
        pool_recycle=1800,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "connect_timeout": 5,
            "application_name": f"analytics-{settings().role}",
            "options": OPTIONS,
            # A peer that vanished without a word is noticed within 10 s.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
        },
    )


async def answered(asking: "asyncio.Future[Found]", within_s: float = ANSWERED_WITHIN_S) -> Found:
    """What `asking` comes to, for whoever holds up a request. Raises what it raises.

    And `psycopg.OperationalError` where that takes longer than `within_s` seconds: Postgres hangs, or nobody answers on
    this connection any more. `asking` is left to itself then: the driver would wait for the server to agree to an end.
    """
    done, _ = await asyncio.wait({asking}, timeout=within_s)
    if not done:
        raise psycopg.OperationalError(f"no answer within {within_s:g} s")
    return asking.result()


@asynccontextmanager
async def transaction() -> AsyncIterator[AsyncConnection]:
    """One transaction: committed at the end of the block, undone if it raises.

    Raises `sqlalchemy.exc.DBAPIError` (`connection_invalidated` where Postgres went away).
    """
    async with engine().begin() as db:
        yield db


_FOR_SUMS = text(
    # Sums over many rows: compiling them takes longer than they do, and sorts in 4 MB go to disk. A plan made for any
    # list of numbers compares each row with each of them (12 s where the plan for this list takes 0.5 s).
    "SELECT set_config('jit', 'off', true), set_config('work_mem', '64MB', true),"
    " set_config('plan_cache_mode', 'force_custom_plan', true),"
    # Nobody waits for who only reads, and a recount in Python may take long between two questions.
    " set_config('idle_in_transaction_session_timeout', '600000', true)"
)


@asynccontextmanager
async def snapshot() -> AsyncIterator[AsyncConnection]:
    """One read-only transaction that sees the database as of its first question, whatever is written meanwhile.

    Raises what `transaction` raises.
    """
    async with engine().connect() as db:
        await db.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        async with db.begin():
            await db.execute(_FOR_SUMS)
            yield db


@asynccontextmanager
async def batch_transaction() -> AsyncIterator[AsyncDriver]:
    """One transaction on psycopg's own connection, for what writes in bulk: COPY, arrays, prepared statements.

    Raises `psycopg.OperationalError` where Postgres is away or went away: then it is not known whether the commit,
    if it was under way, took place.
    """
    try:
        connecting = engine().connect()
        db = await connecting.start()
    except DBAPIError as error:
        raise psycopg.OperationalError(str(error.orig)) from error
    except SQLAlchemyTimeout as error:
        raise psycopg.OperationalError("no free connection") from error
    try:
        driver = (await db.get_raw_connection()).driver_connection
        assert isinstance(driver, psycopg.AsyncConnection)
        async with driver.transaction():
            yield driver
    except psycopg.OperationalError:
        await db.invalidate()
        raise
    finally:
        await db.close()


async def driver_of(db: AsyncConnection) -> AsyncDriver:
    """The connection of psycopg's own behind `db`, in the same transaction: for binary answers and arrays."""
    driver = (await db.get_raw_connection()).driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver


def is_away(error: BaseException) -> bool:
    """Whether `error` says that Postgres is away or overloaded, rather than that a statement is wrong."""
    if isinstance(error, DBAPIError):
        refused = isinstance(error.orig, psycopg.OperationalError)
        return refused or isinstance(error, InterfaceError) or bool(error.connection_invalidated)
    return isinstance(error, SQLAlchemyTimeout | psycopg.OperationalError | psycopg.InterfaceError | NotStarted)


async def ping() -> None:
    """Return once Postgres answers. Raises what `is_away` knows where it does not."""
    async with engine().connect() as db:
        await db.execute(text("SELECT 1"))


async def answers_anew() -> bool:
    """Whether Postgres answers on a connection made now, beside the pool, within two seconds."""
    url = database_url(resolve(settings()).database_url).set(drivername="postgresql")
    try:
        async with (
            asyncio.timeout(ANSWERED_WITHIN_S),
            await psycopg.AsyncConnection.connect(url.render_as_string(hide_password=False), options=OPTIONS) as db,
        ):
            await db.execute("SELECT 1")
    except (psycopg.Error, TimeoutError, OSError, NotStarted):
        return False
    return True


async def revision() -> str | None:
    """The revision that the schema is at; None for an empty database."""
    async with engine().connect() as db:
        if (await db.execute(text("SELECT to_regclass('alembic_version')"))).scalar() is None:
            return None
        found: str | None = (await db.execute(text("SELECT version_num FROM alembic_version"))).scalar()
        return found


async def dispose() -> None:
    """Close every connection of this process."""
    if engine.cache_info().currsize:
        await asyncio.shield(engine().dispose())
        engine.cache_clear()
