"""A collector of what the tracker sends: it records each request, and answers it as the service would.

Given the address of a running service it hands each request on and answers what that said, so that the same stories run
against the fake and against the real thing.
"""

import asyncio
import gzip
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

TRACKER = Path(__file__).parents[3] / "web" / "static" / "built" / "analytics.js"
KEY = "7c1f3c5e-5d0e-4e62-9d5c-0a3c6a1f2b11"
SIMPLE = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}


@dataclass(frozen=True)
class Sent:
    """A request as it arrived."""

    kind: str
    body: dict[str, Any]
    headers: dict[str, str]
    method: str = "POST"

    def __getitem__(self, name: str) -> Any:
        return self.body[name]


@dataclass
class Collector:
    """Serves the tracker, and takes what it sends."""

    url: str = ""
    key: str = KEY
    upstream: str = ""
    requests: list[Sent] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    answers: deque[web.Response | Callable[[], web.Response]] = field(default_factory=deque)
    held: asyncio.Event | None = None
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def reset(self) -> None:
        """Forget what arrived, and answer at once again."""
        self.requests.clear()
        self.answers.clear()
        self.scripts.clear()
        self.loads.clear()
        self.held = None

    def of(self, kind: str) -> list[Sent]:
        """What arrived at one endpoint, in order."""
        return [sent for sent in self.requests if sent.kind == kind]

    @property
    def views(self) -> list[Sent]:
        return self.of("track")

    @property
    def events(self) -> list[Sent]:
        return self.of("event")

    @property
    def paths(self) -> list[str]:
        """The paths of the views, each id once."""
        return list({sent["id"]: sent["path"] for sent in self.views}.values())

    async def until(self, kind: str, count: int = 1, within_s: float = 8) -> list[Sent]:
        """The first `count` requests of a kind; raises AssertionError when they do not come in time."""
        try:
            async with asyncio.timeout(within_s), self._arrived:
                await self._arrived.wait_for(lambda: len(self.of(kind)) >= count)
        except TimeoutError:
            seen = [(sent.kind, sent.body) for sent in self.requests]
            raise AssertionError(f"waited for {count} of {kind}; came: {seen}") from None
        return self.of(kind)[:count]

    async def quiet(self, for_s: float = 0.4) -> None:
        """Wait until nothing has come for a while."""
        count = -1
        while count != len(self.requests):
            count = len(self.requests)
            await asyncio.sleep(for_s)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            self.requests.append(Sent("preflight", {}, dict(request.headers), "OPTIONS"))
            return web.Response(status=204, headers=SIMPLE | {"Access-Control-Allow-Headers": "*"})
        raw = await request.read()
        plain = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
        sent = Sent(request.match_info["kind"], json.loads(plain), dict(request.headers))
        async with self._arrived:
            self.requests.append(sent)
            self._arrived.notify_all()
        if self.held:
            await self.held.wait()
        if self.answers and sent.kind in {"track", "event"}:
            answer = self.answers.popleft()
            return answer() if callable(answer) else answer
        if self.upstream:
            return await self._hand_on(request, raw)
        number = len(self.views)
        ids = {"event_id": number, "visitor_id": sent.body.get("visitor_id") or "v-1", "session_id": "s-1"}
        return web.json_response({"ok": True} | (ids if sent.kind in {"track", "event"} else {}), headers=SIMPLE)

    async def _hand_on(self, request: web.Request, raw: bytes) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in {"host", "connection"}}
        async with (
            ClientSession(auto_decompress=False) as client,
            client.post(self.upstream + request.path, data=raw, headers=headers) as answer,
        ):
            passed = {
                name: value for name, value in answer.headers.items() if name.startswith(("Content-Type", "Acc", "Ret"))
            }
            return web.Response(status=answer.status, body=await answer.read(), headers=passed)

    async def _tracker(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(TRACKER, headers={"Content-Type": "text/javascript", "Cache-Control": "no-store"})

    async def _script(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.loads.append(name)
        return web.Response(text=self.scripts.get(name, ""), content_type="text/javascript")

    def application(self) -> web.Application:
        """The aiohttp application that does all this."""
        application = web.Application()
        application.router.add_get("/js/analytics.js", self._tracker)
        application.router.add_get("/js/{name}", self._script)
        application.router.add_route("*", "/analytics/{kind}", self._take)
        return application


def wanting(capture: dict[str, Any]) -> Callable[[], web.Response]:
    """An answer to a view of which more is to be recorded."""
    ids = {"event_id": 7, "visitor_id": "v-7", "session_id": "s-7"}
    return lambda: web.json_response({"ok": True, "capture": capture} | ids, headers=SIMPLE)


def unavailable(retry_after_s: int = 0) -> Callable[[], web.Response]:
    """An answer that says: not known to be stored, send again."""
    return lambda: web.json_response(
        {"ok": False, "error": "Kafka is away", "code": "UNAVAILABLE"},
        status=503,
        headers=SIMPLE | {"Retry-After": str(retry_after_s)},
    )


def refused(status: int, error: str) -> Callable[[], web.Response]:
    """An answer that says no for good."""
    return lambda: web.json_response({"ok": False, "error": error, "code": "X"}, status=status, headers=SIMPLE)


def recorded_nothing(reason: str) -> Callable[[], web.Response]:
    """An answer to somebody who is not to be counted."""
    return lambda: web.json_response({"ok": True, "ignored": reason}, status=202, headers=SIMPLE)
