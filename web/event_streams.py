"""Server-sent events: one look a moment at what somebody of this process follows, however many follow.

    PUSHED = Pushed("funnel", analyses, told)

    async def get(self, request: Request, …) -> StreamResponse:
        return await PUSHED.stream(request, key, await analysis_of(key))

Where a token is needed, the view asks for it before it streams; `needs_postgres = False` keeps a stream open while
Postgres is away. `tests/web/test_event_streams.py` shows each promise.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Generic, TypeVar

import orjson
import structlog
from aiohttp.web import Application, Request, StreamResponse

from analytics_app.db import is_away

Key = TypeVar("Key", bound=Hashable)
View = TypeVar("View")

LOOKED_EVERY_S = 0.5
PINGED_EVERY_S = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Type": "text/event-stream"}
END = b""

log = structlog.get_logger(__name__)


def event_stream(event: str, data: str) -> dict[str, Any]:
    """The schema of an answer that is a stream of `event`s whose data is `data` in JSON."""
    said = {"type": "string", "contentMediaType": "application/json"}
    return {
        "type": "object",
        "description": f"A server-sent event; its data is {data} in JSON",
        "properties": {"event": {"const": event}, "data": said},
        "required": ["event", "data"],
    }


class Pushed(Generic[Key, View]):
    """What is followed under one name of event.

    `look` answers with the present views of those keys (a key it leaves out is gone, and its streams end); a view that
    is written otherwise than the last one is pushed, as what `tell` makes of it: JSON, in bytes.
    """

    ended: ClassVar[bool] = False

    def __init__(
        self,
        event: str,
        look: Callable[[list[Key]], Awaitable[Mapping[Key, View]]],
        tell: Callable[[View], bytes] = orjson.dumps,
        every_s: float = LOOKED_EVERY_S,
    ) -> None:
        self.event, self.look, self.tell, self.every_s = event, look, tell, every_s
        self.followers: dict[Key, set[asyncio.Queue[bytes]]] = {}
        self._told: dict[Key, bytes] = {}
        self._looking: asyncio.Task[None] | None = None
        EVERYONE.append(self)

    async def stream(self, request: Request, key: Key, view: View) -> StreamResponse:
        """Answer with `view`, then with each change of it; a comment line every 15 s keeps the connection open."""
        response = StreamResponse(headers=HEADERS)
        queue = self.follow(key)
        try:
            await response.prepare(request)
            await response.write(b"retry: 2000\n\n" + self.message(view))
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), PINGED_EVERY_S)
                except TimeoutError:
                    message = b": here\n\n"
                if message == END or Pushed.ended:
                    return response
                await response.write(message)
        except ConnectionResetError:
            return response
        finally:
            self.leave(key, queue)

    def message(self, view: View) -> bytes:
        """One server-sent event."""
        return b"event: %b\ndata: %b\n\n" % (self.event.encode(), self.tell(view))

    def follow(self, key: Key) -> asyncio.Queue[bytes]:
        """A queue in which each change of the key's view arrives; of many unread ones the last stays."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)
        self.followers.setdefault(key, set()).add(queue)
        self._told.pop(key, None)  # the newcomer's view may be older than what the others were told last
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking())
        return queue

    def leave(self, key: Key, queue: asyncio.Queue[bytes]) -> None:
        """Stop following."""
        queues = self.followers.get(key, set())
        queues.discard(queue)
        if not queues:
            self.followers.pop(key, None)
            self._told.pop(key, None)

    async def _keep_looking(self) -> None:
        while self.followers:
            await asyncio.sleep(self.every_s)
            followed = list(self.followers)
            try:
                views = await self.look(followed)
            except Exception as error:
                if not is_away(error):
                    log.exception("what is followed cannot be read", event_name=self.event)
                continue
            for key in followed:
                if key not in views:
                    self._put(key, END)
                elif self._told.get(key) != (written := orjson.dumps(views[key], option=orjson.OPT_NON_STR_KEYS)):
                    self._told[key] = written
                    self._put(key, self.message(views[key]))

    def _put(self, key: Key, message: bytes) -> None:
        for queue in self.followers.get(key, ()):
            with suppress(asyncio.QueueEmpty):
                queue.get_nowait()
            queue.put_nowait(message)


EVERYONE: list[Pushed[Any, Any]] = []
"""What may be followed in this process."""


async def end_all(_: Application | None = None) -> None:
    """End every stream: a server that stops waits for them."""
    Pushed.ended = True
    for pushed in EVERYONE:
        for key in pushed.followers:
            pushed._put(key, END)  # noqa: SLF001 - the same module
