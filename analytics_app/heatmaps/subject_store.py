"""SQL of what heatmaps hold of a visitor: shown, taken out, or made to lead to nobody."""

from typing import Any

from analytics_app.clock import iso
from analytics_app.db import AsyncDriver
from analytics_app.gdpr.logic import Subject
from analytics_app.heatmaps import removing_store
from analytics_app.heatmaps.logic import Kind
from analytics_app.heatmaps.samples_store import SIZES

_OF = "website_id = %s AND visitor = %s::uuid"
_ROW = f"at, t.text, device, {SIZES}"
_NAMES = ("at", "path", "device_type", *SIZES.split(", "))


async def samples_of(db: AsyncDriver, subject: Subject) -> list[dict[str, Any]]:
    """Every click, move and reach of the visitor, as it was sent, by time."""
    whose = (subject.website_id, subject.visitor)
    found = []
    query = f"SELECT {_ROW}, kinds, xs, ys, selectors FROM heatmap_samples JOIN terms t ON t.id = page"
    async for *row, kinds, xs, ys, selectors in await db.execute(f"{query} WHERE heatmap_samples.{_OF}", whose):
        for kind, x, y, selector in zip(kinds, xs, ys, selectors, strict=True):
            found.append(_told(row, Kind(kind), x, y) | ({"selector": selector} if selector else {}))
    query = f"SELECT {_ROW}, y FROM heatmap_reaches JOIN terms t ON t.id = page"
    async for *row, y in await db.execute(f"{query} WHERE heatmap_reaches.{_OF}", whose):
        found.append(_told(row, Kind.SCROLL, 0, y))
    return sorted(found, key=lambda sample: str(sample["at"]))


def _told(row: list[Any], kind: Kind, x: int, y: int) -> dict[str, Any]:
    said = dict(zip(_NAMES, row, strict=True))
    return {**said, "at": iso(said["at"]), "type": kind.name.lower(), "x": x, "y": y}


async def remove_samples(db: AsyncDriver, subject: Subject) -> None:
    """Delete what was sampled of the visitor, and take it out of every count."""
    await removing_store.remove_visitor(db, subject.website_id, subject.visitor)


async def anonymise_samples(db: AsyncDriver, subject: Subject) -> None:
    """Give each row of the visitor's a visitor of its own, who is nobody; what it counts for stays."""
    whose = (subject.website_id, subject.visitor)
    for table in ("heatmap_samples", "heatmap_reaches"):
        await db.execute(
            f"UPDATE {table} SET visitor = gen_random_uuid(), session_key = gen_random_uuid() WHERE {_OF}", whose
        )
