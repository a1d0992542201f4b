"""`analytics workspaces …`."""

from datetime import datetime
from typing import Annotated

import typer

from analytics_app import clock
from analytics_app.commands.work import run, show
from analytics_app.db import transaction
from analytics_app.embedded.errors import OperatingError
from analytics_app.intake.text import clean_text
from analytics_app.websites import store

app = typer.Typer()

LONGEST_NAME = 100


@app.command()
def create(name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)]) -> None:
    """Make a workspace. `analytics tokens create … --workspace NAME` makes tokens that see it."""
    cleaned = clean_text(name, LONGEST_NAME)
    if not cleaned:
        raise OperatingError("a workspace needs a name")
    typer.echo(f"workspace {run(_create(cleaned))} {cleaned}")


@app.command("list")
def list_() -> None:
    """List the workspaces and how many websites each has."""
    rows: list[tuple[int, str, int, datetime]] = run(_list())
    show(["id", "name", "websites", "created"], [[id_, name, sites, clock.iso(at)] for id_, name, sites, at in rows])


async def _create(name: str) -> int:
    async with transaction() as db:
        await store.alone(db, "workspaces")
        if await store.workspace_id_of(db, name) is not None:
            raise OperatingError(f"there is a workspace {name} already")
        return await store.add_workspace(db, name)


async def _list() -> list[tuple[int, str, int, datetime]]:
    async with transaction() as db:
        return [(row.id, row.name, row.websites, row.created_at) for row in await store.workspaces(db)]
