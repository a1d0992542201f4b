"""The server-side client in each framework's own test client, against the real service, also while that is away."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from analytics_tracking import AnalyticsTracking

from tests.e2e.conftest import DESKTOP


def in_django(tracking: AnalyticsTracking, key: str, path: str, headers: dict[str, str]) -> int:
    from django.conf import settings
    from django.http import HttpResponse
    from django.test import RequestFactory

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"])

    def view(request: Any) -> HttpResponse:
        tracking.track(key, {"type": "pageview"}, request)
        return HttpResponse("ok")

    return view(RequestFactory(headers=headers).get(path)).status_code


def in_flask(tracking: AnalyticsTracking, key: str, path: str, headers: dict[str, str]) -> int:
    from flask import Flask, request

    app = Flask("shop")

    @app.get("/<path:_>")
    def view(_: str) -> str:
        tracking.track(key, {"type": "pageview"}, request)
        return "ok"

    return app.test_client().get(path, headers=headers).status_code


def in_starlette(tracking: AnalyticsTracking, key: str, path: str, headers: dict[str, str]) -> int:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient as StarletteClient

    async def view(request: Any) -> PlainTextResponse:
        await tracking.atrack(key, {"type": "pageview"}, request)
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/{rest:path}", view)])
    return StarletteClient(app).get(path, headers=headers).status_code


async def in_aiohttp(tracking: AnalyticsTracking, key: str, path: str, headers: dict[str, str]) -> int:
    async def view(request: web.Request) -> web.Response:
        await tracking.atrack(key, {"type": "pageview"}, request)
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/{rest:.*}", view)
    async with TestClient(TestServer(app)) as client:
        return (await client.get(path, headers=headers)).status


FRAMEWORKS = {"django": in_django, "flask": in_flask, "starlette": in_starlette}


@pytest.fixture
async def tracking(service, token_of):
    tracking = AnalyticsTracking(service.address, token=(await token_of("write")).token, every_s=0.05)
    yield tracking
    tracking.close()


@pytest.mark.parametrize("framework", [*FRAMEWORKS, "aiohttp"])
async def test_a_view_of_each_framework_reports_its_visitor(service, website, settled, tracking, framework):
    headers = {"User-Agent": DESKTOP, "X-Visitor-ID": f"visitor-of-{framework}", "Accept-Language": "de-CH"}
    path = f"/{framework}/cart?id=3"
    if framework == "aiohttp":
        status = await in_aiohttp(tracking, website["pixel_key"], path, headers)
    else:
        status = await asyncio.to_thread(FRAMEWORKS[framework], tracking, website["pixel_key"], path, headers)
    assert status == 200
    assert await tracking.aflush()
    await settled()
    (event,) = service.events(website["id"])
    (session,) = service.sessions(website["id"])
    assert event["path"].startswith(f"/{framework}/cart")
    assert (session["browser"], session["language"]) == ("Chrome", "de-CH")


class Gate:
    """The way to the service, which can be shut."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.server: asyncio.Server | None = None
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self.server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self._open |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()


@pytest.mark.parametrize("away_s", [8, pytest.param(60, marks=pytest.mark.long)])
async def test_while_the_service_is_away_nothing_is_lost_nothing_doubled_and_nobody_waits(
    service, website, settled, token_of, away_s
):
    gate = Gate(int(service.address.rpartition(":")[2]))
    await gate.open()
    token = (await token_of("write")).token
    tracking = AnalyticsTracking(f"http://127.0.0.1:{gate.port}", token=token, every_s=0.05, batch=50)
    took: list[float] = []
    number = 0

    async def report_for(seconds: float) -> None:
        nonlocal number
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            tracking.track(website["pixel_key"], {"path": f"/{number}", "visitor_id": f"v{number % 7}"})
            took.append(time.perf_counter() - began)
            number += 1
            await asyncio.sleep(0.01)

    await report_for(2)
    await gate.shut()  # in the middle of whatever is under way
    await report_for(away_s)
    assert tracking.counts().waiting > 0
    await gate.open()
    await report_for(5)  # while it sends what waited
    assert await tracking.aflush(60)
    await settled()
    assert sorted(int(event["path"][1:]) for event in service.events(website["id"])) == list(range(number))
    assert tracking.counts().dropped == 0
    took.sort()
    assert took[len(took) * 99 // 100] < 0.001, f"p99 {took[len(took) * 99 // 100] * 1e3:.2f} ms"
    print(f"track: p50 {took[len(took) // 2] * 1e6:.0f} µs, p99 {took[len(took) * 99 // 100] * 1e6:.0f} µs of {number}")  # noqa: T201
    tracking.close()
    await gate.shut()
