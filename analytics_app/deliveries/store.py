"""The questions and orders of deliveries: what waits, whose turn it is, how it ended."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.deliveries.logic import Next
from analytics_app.deliveries.models import DeliveryRow

KILLED = "the process ended between sending and noting it: it is not known whether this arrived; send it again by hand"


async def add(
    db: AsyncConnection,
    targets: Iterable[tuple[str, str]],
    *,
    send_id: int | None = None,
    firing_id: int | None = None,
) -> None:
    """Have a message of a report's send, or of an alert's firing, delivered to each of `targets` (channel, address)."""
    rows = [
        {"send_id": send_id, "firing_id": firing_id, "channel": channel, "target": target}
        for channel, target in targets
    ]
    if rows:
        await db.execute(insert(DeliveryRow), rows)


async def claim(db: AsyncConnection, now: datetime) -> Row[Any] | None:
    """Take the next delivery that is due, as being sent by us; None where none is. Commit before sending."""
    due = (
        select(DeliveryRow.id)
        .where(DeliveryRow.state == "waiting", DeliveryRow.next_at <= now)
        .order_by(DeliveryRow.next_at, DeliveryRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    taken: Row[Any] | None = (
        await db.execute(
            update(DeliveryRow)
            .where(DeliveryRow.id == due)
            .values(state="sending", attempts=DeliveryRow.attempts + 1, claimed_at=now)
            .returning(DeliveryRow.__table__)
        )
    ).first()
    return taken


async def settle(db: AsyncConnection, delivery_id: int, what: Next, now: datetime) -> None:
    """Note how an attempt ended, unless it was given up meanwhile."""
    values: dict[str, Any] = {"state": what.state, "error": what.error[:1000]}
    if what.at is not None:
        values["next_at"] = what.at
    else:
        values["finished_at"] = now
    if not what.counts:
        values["attempts"] = DeliveryRow.attempts - 1
    await db.execute(
        update(DeliveryRow).where(DeliveryRow.id == delivery_id, DeliveryRow.state == "sending").values(**values)
    )


async def give_up_killed(db: AsyncConnection, now: datetime, within: timedelta) -> int:
    """Note of deliveries begun more than `within` ago, and never ended, that nobody knows; returns how many."""
    answer = await db.execute(
        update(DeliveryRow)
        .where(DeliveryRow.state == "sending", DeliveryRow.claimed_at < now - within)
        .values(state="unknown", error=KILLED, finished_at=now)
    )
    return answer.rowcount


async def of_sends(db: AsyncConnection, send_ids: Sequence[int]) -> Mapping[int, list[Row[Any]]]:
    """The deliveries of each of those sends."""
    return await _by(db, DeliveryRow.send_id, send_ids)


async def of_firings(db: AsyncConnection, firing_ids: Sequence[int]) -> Mapping[int, list[Row[Any]]]:
    """The deliveries of each of those firings."""
    return await _by(db, DeliveryRow.firing_id, firing_ids)


async def _by(db: AsyncConnection, column: Any, ids: Sequence[int]) -> Mapping[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = {id_: [] for id_ in ids}
    query = select(DeliveryRow.__table__).where(column.in_(list(ids))).order_by(DeliveryRow.id)
    for row in await db.execute(query):
        found[getattr(row, column.key)].append(row)
    return found
