"""What the copy of the definitions is made of, read from Postgres: as changes of a copy, for whoever holds one."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app import clock
from analytics_app.bots import definitions_store as bots
from analytics_app.db import transaction
from analytics_app.experiments import definitions_store as experiments_store
from analytics_app.funnels.definitions_store import funnels_of_websites
from analytics_app.goals.store import goals_by_website
from analytics_app.heatmaps.definitions_store import heatmaps
from analytics_app.websites import definitions_store as store
from analytics_app.websites.logic import Snapshot

Read = Callable[[AsyncConnection, Iterable[int] | None], Awaitable[Mapping[int, tuple[Any, ...]]]]
"""Reads what the websites of some ids (None: all) define, by website."""

Change = Callable[[Snapshot], Snapshot]
"""What was read, as what it makes of a copy."""

KINDS: dict[str, Read] = {
    "bot_rules": bots.rules,
    "bot_verdicts": bots.verdicts,
    "experiments": experiments_store.experiments,
    "funnels": funnels_of_websites,
    "goals": goals_by_website,
    "heatmap": heatmaps,
}
"""What websites define: triggers tell of a change as `<kind>:<website id>`, and count the kind's version up."""


async def in_a_transaction(read: Callable[[AsyncConnection], Coroutine[None, None, Change]]) -> Change:
    """What `read` reads. Raises what the database raises."""
    async with transaction() as db:
        return await read(db)


async def read_everything(db: AsyncConnection) -> Change:
    """All there is, in place of what was there."""
    today = clock.now().date()
    websites = await store.websites(db)
    keys = await store.pixel_keys(db)
    found = Snapshot(
        websites={website.id: website for website in websites},
        keys={key.key: key for key in keys},
        tokens=await store.tokens(db),
        salts=await store.salts(db, [today - timedelta(days=1), today, today + timedelta(days=1)]),
        versions=await store.versions(db),
        of_websites={kind: await read(db, None) for kind, read in KINDS.items()},
    )
    return lambda _: found


async def read_website(db: AsyncConnection, *, id_: int) -> Change:
    """One website with its keys; none where it is gone."""
    websites = await store.websites(db, [id_])
    keys = await store.pixel_keys(db, website_ids=[id_])
    return lambda held: replace(
        held,
        websites={k: v for k, v in held.websites.items() if k != id_} | {w.id: w for w in websites},
        keys={k: v for k, v in held.keys.items() if v.website_id != id_} | {k.key: k for k in keys},
    )


async def read_token(db: AsyncConnection, *, id_: int) -> Change:
    """One token; none where it is gone."""
    tokens = await store.tokens(db, ids=[id_])
    return lambda held: replace(
        held, tokens={digest: token for digest, token in held.tokens.items() if token.id != id_} | tokens
    )


async def read_kind(db: AsyncConnection, *, kind: str, id_: int) -> Change:
    """What a website defines of a kind, with its version."""
    versions = await store.versions(db, [id_])  # first: what is read after it is at least of that version
    found = await KINDS[kind](db, [id_])

    def change(held: Snapshot) -> Snapshot:
        others = {k: v for k, v in held.of_websites.get(kind, {}).items() if k != id_}
        return replace(
            held,
            of_websites={**held.of_websites, kind: {**others, **found}},
            versions={**held.versions, (kind, id_): versions.get((kind, id_), 0)},
        )

    return change
