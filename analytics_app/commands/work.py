"""What the commands that talk to Postgres share."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analytics_app.db import dispose, transaction
from analytics_app.embedded.errors import OperatingError
from analytics_app.websites import store

Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=BaseModel)

WorkspaceName = Annotated[str, typer.Option("--workspace", help="The workspace it belongs to.")]


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Do `work` and close what it opened."""

    async def whole() -> Answer:
        try:
            return await work
        finally:
            await dispose()

    return asyncio.run(whole())


async def workspace_id(name: str) -> int:
    """The id of the workspace of that name. Raises `OperatingError` where there is none."""
    async with transaction() as db:
        found = await store.workspace_id_of(db, name)
    if found is None:
        raise OperatingError(f"there is no workspace {name}: `analytics workspaces list` shows which there are")
    return found


def validated(model: type[Model], **values: Any) -> Model:
    """`values` as the API would take them. Raises `OperatingError`, which names every fault."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = (f"{fault['loc'][0]}: {str(fault['msg']).removeprefix('Value error, ')}" for fault in error.errors())
        raise OperatingError("; ".join(faults)) from None


def show(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; nothing in it is taken for markup."""
    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    Console(soft_wrap=True).print(table)
