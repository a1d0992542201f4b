"""Calls to addresses that users give: where they go, how long they take, how much they read."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from analytics_app.deliveries import webhook

ALLOWED = (ip_network("127.0.0.2/32"),)


class Receiver:
    """A server on every address of this machine, which notes at which it was called."""

    def __init__(self) -> None:
        self.called_at: list[str] = []
        self.gone = asyncio.Event()

    async def note(self, request: web.Request) -> web.StreamResponse:
        """Answer as the path says: at once, late, or without an end."""
        assert request.transport is not None
        self.called_at.append(request.transport.get_extra_info("sockname")[0])
        if request.path == "/late":
            await asyncio.sleep(5)
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while request.path == "/endless":
                await response.write(b"x" * 65536)
        finally:
            self.gone.set()
        return response


@pytest.fixture
async def receiver() -> Receiver:
    """What is called."""
    return Receiver()


@pytest.fixture
async def port(receiver: Receiver) -> AsyncIterator[int]:
    """Where it listens."""
    app = web.Application()
    app.router.add_post("/{any:.*}", receiver.note)
    async with TestServer(app, host="0.0.0.0") as server:
        yield int(server.port or 0)


def names_are(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Have host names resolve to these addresses, one answer after the other; the last one stays."""
    left = list(answers)

    async def resolve(_self: Any, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [
            {"hostname": host, "host": one, "port": port, "family": family, "proto": 0, "flags": 0} for one in found
        ]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)


async def called(port: int, path: str = "/") -> tuple[str, str]:
    outcome = await webhook.call(
        f"http://hook.example:{port}{path}", b"{}", key="k", delivery_id=1, timestamp=1, allowed=ALLOWED
    )
    return outcome.kind, outcome.error or ""


async def test_a_name_that_changes_its_mind_is_called_where_it_was_looked_up(receiver, port, monkeypatch):
    names_are(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    assert (await called(port))[0] == "sent"
    assert receiver.called_at == ["127.0.0.2"]
    assert await called(port) == ("refused", webhook.FORBIDDEN)
    assert receiver.called_at == ["127.0.0.2"]


async def test_of_a_name_s_addresses_only_those_that_may_be_reached_are_called(receiver, port, monkeypatch):
    names_are(monkeypatch, ["127.0.0.1", "127.0.0.2"])
    assert (await called(port))[0] == "sent"
    assert receiver.called_at == ["127.0.0.2"]


async def test_a_receiver_that_takes_too_long_is_left_and_called_again_later(receiver, port, monkeypatch):
    names_are(monkeypatch, ["127.0.0.2"])
    monkeypatch.setattr(webhook, "WITHIN_S", 0.3)
    outcome, error = await called(port, "/late")
    assert (outcome, "Timeout" in error) == ("later", True)


async def test_an_answer_without_an_end_is_not_read_to_its_end(receiver, port, monkeypatch):
    names_are(monkeypatch, ["127.0.0.2"])
    assert (await called(port, "/endless"))[0] == "sent"
    await asyncio.wait_for(receiver.gone.wait(), 5)
