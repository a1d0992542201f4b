"""Sessions that outlive the change of salt at midnight: see `analytics_app.intake.privacy`."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.sessions.models import SessionStateRow


async def running_over(db: AsyncConnection, midnight: datetime, since: datetime) -> frozenset[str]:
    """The keys of sessions that began before `midnight` and were active at or after `since`."""
    began_before = SessionStateRow.first_at < midnight
    rows = await db.execute(select(SessionStateRow.key).where(began_before, SessionStateRow.last_at >= since))
    return frozenset(key.hex for key in rows.scalars())


async def still_running(db: AsyncConnection, keys: Collection[str], since: datetime) -> frozenset[str]:
    """Those of `keys` whose sessions were active at or after `since`."""
    rows = await db.execute(
        select(SessionStateRow.key).where(
            SessionStateRow.key.in_([UUID(key) for key in sorted(keys)]), SessionStateRow.last_at >= since
        )
    )
    return frozenset(key.hex for key in rows.scalars())
