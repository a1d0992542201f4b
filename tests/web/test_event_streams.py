"""Streams of server-sent events, on a small application of their own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from web import event_streams
from web.event_streams import Pushed

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Counters:
    """What is followed in these tests: a number by name."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {"a": 1, "b": 1}
        self.looks: list[list[str]] = []
        self.error: Exception | None = None

    async def look(self, keys: list[str]) -> dict[str, int]:
        self.looks.append(keys)
        if self.error is not None:
            raise self.error
        return {key: self.now[key] for key in keys if key in self.now}


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
async def browser(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestClient[Any, Any]]:
    monkeypatch.setattr(event_streams, "EVERYONE", [])
    monkeypatch.setattr(Pushed, "ended", False)
    pushed: Pushed[str, int] = Pushed("counter", counters.look, lambda number: b"%d" % number, every_s=0.02)

    async def follow(request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        return await pushed.stream(request, key, counters.now[key])

    application = web.Application()
    application.router.add_get("/{key}", follow)
    application.on_shutdown.append(event_streams.end_all)
    async with TestClient(TestServer(application)) as client:
        yield client


async def told(response: ClientResponse) -> int:
    """The data of the next event."""
    while True:
        line = await asyncio.wait_for(response.content.readline(), 2)
        assert line, "the stream has ended"
        if line.startswith(b"data: "):
            return int(orjson.loads(line[6:]))


async def told_next(response: ClientResponse, but: int) -> int:
    """The data of the next event that says something else."""
    while (number := await told(response)) == but:
        pass
    return number


async def test_a_stream_says_how_it_is_now_and_then_every_change(browser, counters):
    async with browser.get("/a") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert (await response.content.readline()) == b"retry: 2000\n"
        assert (await response.content.readline()) == b"\n"
        assert (await response.content.readline()) == b"event: counter\n"
        assert await told(response) == 1
        counters.now["a"] = 2
        assert await told_next(response, but=1) == 2


async def test_what_does_not_change_is_not_told_again(browser, counters):
    async with browser.get("/a") as response:
        assert [await told(response), await told(response)] == [1, 1], "read before it was followed: told once more"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readuntil(b"data"), 0.2)


async def test_one_look_answers_everybody(browser, counters):
    async with browser.get("/a") as first, browser.get("/a") as second, browser.get("/b") as third:
        await asyncio.sleep(0.1)
        counters.looks.clear()
        counters.now.update(a=5, b=6)
        assert [await told_next(first, 1), await told_next(second, 1), await told_next(third, 1)] == [5, 5, 6]
        assert all(sorted(keys) == ["a", "b"] for keys in counters.looks)


async def test_who_comes_with_an_older_view_is_told_the_present_one(browser, counters):
    async with browser.get("/a") as first:
        await told(first)
        counters.now["a"] = 2
        assert await told_next(first, but=1) == 2
        held = counters.now["a"]
        counters.now["a"] = 1  # what the newcomer read, a moment before the change
        second = await browser.get("/a")
        counters.now["a"] = held
        assert await told(second) == 1
        assert await told(second) == 2
        second.close()


async def test_the_stream_of_what_is_gone_ends(browser, counters):
    async with browser.get("/a") as gone, browser.get("/b") as stays:
        del counters.now["a"]
        await asyncio.wait_for(gone.read(), 2)
        counters.now["b"] = 9
        assert await told_next(stays, but=1) == 9


async def test_a_failing_look_keeps_the_stream_and_is_made_again(browser, counters):
    async with browser.get("/a") as response:
        counters.error = OSError("the database is away")
        await asyncio.sleep(0.1)
        counters.error, counters.now["a"] = None, 3
        assert await told_next(response, but=1) == 3


async def test_nobody_is_looked_at_once_nobody_follows(browser, counters):
    async with browser.get("/a") as response:
        await told(response)
    async with browser.get("/b") as response:
        await asyncio.sleep(0.3)
        counters.looks.clear()
        await asyncio.sleep(0.1)
        assert counters.looks
        assert all(keys == ["b"] for keys in counters.looks)


async def test_a_server_that_stops_ends_its_streams(browser):
    async with browser.get("/a") as response:
        await told(response)
        await event_streams.end_all()
        await asyncio.wait_for(response.read(), 2)
