"""A process' copy of the definitions, read by several at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from tests.web.calls import Caller

Renew = Callable[[Any, dict[str, Any]], Awaitable[None]]


async def by_id(definitions: Any, website: dict[str, Any]) -> None:
    await definitions.renew_one("website", website["id"])


async def by_key(definitions: Any, website: dict[str, Any]) -> None:
    await definitions.find_website(website["pixel_key"])


async def all_of_them(definitions: Any, website: dict[str, Any]) -> None:
    await definitions.renew()


@pytest.mark.parametrize("slow", [by_id, by_key, all_of_them])
async def test_who_read_before_a_change_does_not_undo_what_was_read_after_it(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, slow: Renew
):
    from analytics_app.definitions import Definitions, store

    website = await admin.new_website(host="before.example")
    definitions, has_read, goes_on = Definitions(), asyncio.Event(), asyncio.Event()
    read = store.websites

    async def read_and_wait(*asked: Any) -> Any:
        found = await read(*asked)
        if not has_read.is_set():
            has_read.set()
            await goes_on.wait()
        return found

    first = asyncio.create_task(slow(definitions, website))
    monkeypatch.setattr(store, "websites", read_and_wait)
    await has_read.wait()
    response = await admin.patch(f"/analytics/websites/{website['id']}", json={"host": "after.example"})
    assert response.status == 200, await response.text()
    second = asyncio.create_task(by_id(definitions, website))
    await asyncio.wait({second}, timeout=0.3)
    goes_on.set()
    await asyncio.gather(first, second)
    found = definitions.website(website["id"])
    assert found is not None
    assert found.host == "after.example"


async def test_a_connection_that_nobody_answers_holds_up_the_next_for_its_time_only(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
):
    from analytics_app import definitions as module

    website = await admin.new_website()
    definitions, stranded, never = module.Definitions(), asyncio.Event(), asyncio.Event()
    read = module.store.websites

    async def strand_one(*asked: Any) -> Any:
        if not stranded.is_set():
            stranded.set()
            await never.wait()
        return await read(*asked)

    monkeypatch.setattr(module, "READ_WITHIN_S", 1.0)
    first = asyncio.create_task(definitions.renew())
    monkeypatch.setattr(module.store, "websites", strand_one)
    await stranded.wait()
    await asyncio.wait_for(by_id(definitions, website), 10)
    assert definitions.website(website["id"]) is not None
    with pytest.raises(psycopg.OperationalError, match="no answer"):
        await first
    never.set()
