"""`analytics verify`: the recount, its progress, and a table of what differs."""

import asyncio
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from analytics_app.commands.failures import sentence
from analytics_app.db import dispose, snapshot
from analytics_app.settings import settings
from analytics_app.verify import funnels_store
from analytics_app.verify.logic import CHECKS, Check, Difference
from analytics_app.verify.store import MOST, recount

FUNNELS_FOLLOW_WITHIN_S = 5.0


def verify(websites: Sequence[int] | None = None) -> int:
    """Recount (all, or some `websites`) and print what differs; returns the exit code: 1 where anything does."""
    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    try:
        found = asyncio.run(_recounted(errors, websites or None))
    except Exception as error:
        errors.print(sentence(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    if not found:
        console.print("Every rollup, session and live state equals its recount.")
        return 0
    console.print(_table(found))
    many = " or more" if _cut_short(found) else ""
    console.print(f"{len(found)}{many} differences.")
    return 1


async def _recounted(console: Console, websites: Sequence[int] | None) -> list[Difference]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("counting again")

            def told(check: Check, done: int, steps: int) -> None:
                progress.update(task, description=CHECKS[check], completed=done, total=steps)

            async with snapshot() as db:
                found = await recount(db, bounce_engaged_s=settings().bounce_engaged_s, website_ids=websites, told=told)
            return await _still_so(found)
    finally:
        await dispose()


async def _still_so(found: list[Difference]) -> list[Difference]:
    """Those that remain: funnels follow what is stored a moment later, so of theirs only what lasts is one."""
    websites = {one.website_id for one in found if one.check == "funnels"}
    if not websites:
        return found
    await asyncio.sleep(FUNNELS_FOLLOW_WITHIN_S)
    async with snapshot() as db:
        again = [one for website_id in websites for one in await funnels_store.differences(db, website_id, MOST)]
    last = {(one.website_id, one.where, one.field) for one in again}
    return [one for one in found if one.check != "funnels" or (one.website_id, one.where, one.field) in last]


def _table(found: list[Difference]) -> Table:
    table = Table("check", "website", "where", "field", "stored", "recounted", box=None, pad_edge=False)
    for one in found:
        website = str(one.website_id) if one.website_id else "-"
        table.add_row(one.check, website, one.where, one.field, one.stored, one.counted)
    return table


def _cut_short(found: list[Difference]) -> bool:
    counts: dict[tuple[str, int], int] = {}
    for one in found:
        counts[one.check, one.website_id] = counts.get((one.check, one.website_id), 0) + 1
    return max(counts.values()) >= MOST
