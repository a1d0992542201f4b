"""`analytics websites …`."""

import uuid
from typing import Annotated, Any

import typer

from analytics_app.bootstrap import WORKSPACE
from analytics_app.commands.work import WorkspaceName, run, show, validated, workspace_id
from analytics_app.db import transaction
from analytics_app.settings import settings
from analytics_app.websites import store
from analytics_app.websites.schemas import WebsiteBody

app = typer.Typer()

MOST = 100_000


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    host: Annotated[str, typer.Argument(help="Its host, such as example.com.", show_default=False)],
    timezone: Annotated[str, typer.Option(help="The IANA zone its days are counted in.")] = "UTC",
    full: Annotated[bool, typer.Option("--full", help="With heatmaps and replays.")] = False,
    workspace: WorkspaceName = WORKSPACE,
) -> None:
    """Make a website and show its pixel key and the tracker's snippet."""
    kind = "full" if full else "lightweight"
    body = validated(WebsiteBody, name=name, host=host, timezone=timezone, tracking_type=kind)
    key = uuid.uuid4()
    website_id = run(_create(workspace, body, key))
    site = settings().public_url.rstrip("/") or f"http://localhost:{settings().port}"
    typer.echo(f"website {website_id}, pixel key {key}")
    typer.echo(f'<script defer data-key="{key}" src="{site}/js/analytics.js"></script>')


@app.command("list")
def list_(workspace: WorkspaceName = WORKSPACE) -> None:
    """List the websites of a workspace."""
    rows = run(_list(workspace))
    show(
        ["id", "name", "host", "pixel key", "type", "tracking"],
        [
            [row.id, row.name, row.host, row.pixel_key, row.tracking_type, "on" if tracked(row) else "off"]
            for row in rows
        ],
    )


def tracked(row: Any) -> bool:
    """Whether the website takes hits."""
    return bool(row.is_enabled and row.tracking_enabled)


async def _create(workspace: str, body: WebsiteBody, key: uuid.UUID) -> int:
    owner = await workspace_id(workspace)
    async with transaction() as db:
        return await store.add_website(db, owner, body.model_dump(), key)


async def _list(workspace: str) -> list[Any]:
    owner = await workspace_id(workspace)
    async with transaction() as db:
        return list(await store.websites_of(db, owner, limit=MOST))
