"""`analytics tokens …`."""

from typing import Annotated, Any

import typer

from analytics_app import clock
from analytics_app.bootstrap import WORKSPACE
from analytics_app.commands.work import WorkspaceName, run, show, validated, workspace_id
from analytics_app.db import transaction
from analytics_app.embedded.errors import OperatingError
from analytics_app.shapes import MAX_ROW_ID, instant
from analytics_app.websites import store, tokens_store
from analytics_app.websites.logic import token_hash
from analytics_app.websites.schemas import TokenBody

app = typer.Typer()

MOST = 100_000


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, write or admin; may be given again. read unless given.", show_default=False),
    ] = None,
    website: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=MAX_ROW_ID,
            help="Id of a website it is restricted to; may be given again.",
            show_default=False,
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 2027-01-01T00:00:00Z. Never unless given.", show_default=False)
    ] = None,
    workspace: WorkspaceName = WORKSPACE,
) -> None:
    """Make a token and print it: this once, for only its hash is kept."""
    body = validated(
        TokenBody,
        name=name,
        scopes=sorted(set(scope or ["read"])),
        website_ids=sorted(set(website)) if website else None,
        expires_at=expires,
    )
    typer.echo(run(_create(workspace, body)))


@app.command("list")
def list_(workspace: WorkspaceName = WORKSPACE) -> None:
    """List the tokens of a workspace: what they may do, never the tokens themselves."""
    show(
        ["id", "name", "scopes", "websites", "expires", "last used"],
        [
            [
                row.id,
                row.name,
                " ".join(row.scopes),
                "all" if row.website_ids is None else " ".join(map(str, row.website_ids)),
                instant(row.expires_at),
                instant(row.last_used_at),
            ]
            for row in run(_list(workspace))
        ],
    )


@app.command()
def revoke(
    token_id: Annotated[
        int, typer.Argument(min=1, max=MAX_ROW_ID, help="Its id, as `list` shows it.", show_default=False)
    ],
    workspace: WorkspaceName = WORKSPACE,
) -> None:
    """Revoke a token. It is refused everywhere within 2 seconds."""
    run(_revoke(workspace, token_id))
    typer.echo(f"token {token_id} is revoked")


async def _create(workspace: str, body: TokenBody) -> str:
    owner = await workspace_id(workspace)
    token = tokens_store.new_token()
    if body.expires_at is not None and body.expires_at <= clock.now():
        raise OperatingError("the token would have expired already")
    async with transaction() as db:
        known = await store.covers_websites(db, owner, body.website_ids or [])
        if unknown := set(body.website_ids or ()) - known:
            raise OperatingError(f"there is no such website in {workspace}: {', '.join(map(str, sorted(unknown)))}")
        await tokens_store.add_token(db, owner, token_hash(token), body.model_dump())
    return token


async def _list(workspace: str) -> list[Any]:
    owner = await workspace_id(workspace)
    async with transaction() as db:
        return list(await tokens_store.tokens_of(db, owner, limit=MOST))


async def _revoke(workspace: str, token_id: int) -> None:
    owner = await workspace_id(workspace)
    async with transaction() as db:
        if not await tokens_store.revoke_token(db, owner, token_id):
            raise OperatingError(f"there is no token {token_id} in {workspace}: `analytics tokens list` shows which")
