"""`analytics failed …`: the records and hits that could not be stored."""

import sys
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.commands.work import run, show
from analytics_app.db import transaction
from analytics_app.embedded.errors import OperatingError
from analytics_app.shapes import MAX_ROW_ID
from analytics_app.stream import replay as stream

app = typer.Typer()

SHOWN = 100
ERROR_SHOWN = 120

Ids = Annotated[
    list[int] | None,
    typer.Argument(min=1, max=MAX_ROW_ID, help="Their ids, as `list` shows them.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="All that wait, instead of ids.")]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many are shown, oldest first.")] = SHOWN,
) -> None:
    """List what failed and is neither replayed nor discarded: where it came from and why it failed."""
    found = run(_waiting(None, limit + 1))
    show(
        ["id", "failed at", "topic", "offset", "bytes", "error"],
        [
            [
                one.id,
                one.failed_at[:19] + "Z",
                f"{one.topic}/{one.partition}",
                one.offset,
                len(one.value),
                printable(one.error)[:ERROR_SHOWN],
            ]
            for one in found[:limit]
        ],
    )
    if len(found) > limit:
        typer.echo(f"and more: --limit shows them (beyond the first {limit})")


@app.command("show")
def show_(
    failed_id: Annotated[
        int, typer.Argument(min=1, max=MAX_ROW_ID, help="Its id, as `list` shows it.", show_default=False)
    ],
    raw: Annotated[bool, typer.Option("--raw", help="Nothing but the record, byte for byte.")] = False,
) -> None:
    """Show one that failed, whole."""
    (one,) = run(_known([failed_id]))
    if raw:
        sys.stdout.buffer.write(one.value)
        return
    typer.echo(f"{one.topic}/{one.partition}, offset {one.offset}, failed at {one.failed_at[:19]}Z")
    typer.echo(printable(one.error))
    typer.echo(printable(one.value.decode("utf-8", "backslashreplace")))


@app.command()
def replay(ids: Ids = None, all_: All = False) -> None:
    """Send back to their topic those that can be read now; each counts once, however often this is done.

    Exit code 1 where one cannot be read still.
    """
    outcome = run(_replay(_chosen(ids, all_)))
    typer.echo(f"{len(outcome.sent)} sent again")
    for failed_id, why in outcome.refused.items():
        typer.echo(f"{failed_id} still cannot be read: {printable(why)[:ERROR_SHOWN]}", err=True)
    if outcome.refused:
        raise typer.Exit(1)


@app.command()
def discard(ids: Ids = None, all_: All = False) -> None:
    """Settle those that will never be stored: they leave the list. Their rows stay for whoever looks into it."""
    typer.echo(f"{run(_discard(_chosen(ids, all_)))} discarded")


def printable(text: str) -> str:
    """`text` with what a terminal would obey, rather than show, escaped."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode() for sign in text
    )


def _chosen(ids: list[int] | None, all_: bool) -> list[int] | None:
    """Ids; None for all. Raises `BadParameter` where it is neither or both."""
    if bool(ids) == all_:
        raise typer.BadParameter("name ids, or --all", param_hint="ids")
    return ids or None


async def _waiting(ids: list[int] | None, limit: int | None = None) -> list[stream.Failed]:
    async with transaction() as db:
        return await stream.waiting(db, ids, limit)


async def _known(ids: list[int]) -> list[stream.Failed]:
    """Those of `ids`. Raises `OperatingError` where one does not wait."""
    async with transaction() as db:
        return await _all_of(db, ids)


async def _all_of(db: AsyncConnection, ids: list[int]) -> list[stream.Failed]:
    found = await stream.waiting(db, ids)
    if unknown := set(ids) - {one.id for one in found}:
        raise OperatingError(
            f"not waiting: {', '.join(map(str, sorted(unknown)))}. `analytics failed list` shows what is"
        )
    return found


async def _replay(ids: list[int] | None) -> stream.Replayed:
    if ids:
        await _known(ids)
    return await stream.replay(ids)


async def _discard(ids: list[int] | None) -> int:
    async with transaction() as db:
        found = await _all_of(db, ids) if ids else await stream.waiting(db)
        return await stream.settle(db, [one.id for one in found], "discarded")
