"""The server under the API: what cannot even be read as a request is answered in the one shape, too."""

import asyncio
from functools import partial
from typing import Any

from aiohttp.web import AppRunner, BaseRequest, RequestHandler, Server, StreamResponse

from analytics_app.errors import AnalyticsError, Invalid
from web import fast_path
from web.errors import rendered
from web.headers import new_request_id
from web.taken import Taken

LONGEST_LINE = 16 * 1024
"""Bytes of a request's first line, and of a header."""

FINISH_WITHIN_S = 2.5
"""How long requests under way may take when the server stops: a hit is answered within that."""


class Handler(RequestHandler):
    """One connection.

    Between requests aiohttp's task of a connection waits for the next (`_waiter`). It is woken only for what the fast
    path leaves; while a hit of the fast path waits for Kafka, whatever comes after it waits in line (`_messages`).
    """

    __slots__ = ("_waits_for_kafka",)

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._waits_for_kafka = False

    def data_received(self, data: bytes) -> None:
        """Take what arrived: by the fast path, or as aiohttp does."""
        waiter = self._waiter
        if not self._waits_for_kafka and (waiter is None or waiter.done()):  # a request is under way: the next waits
            super().data_received(data)
            return
        self._waiter = None
        super().data_received(data)
        self._waiter = waiter
        if self._messages and not self._waits_for_kafka and not self._taken():
            self._wake()

    def _wake(self) -> None:
        """Let aiohttp's task have the next message."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _taken(self) -> bool:
        """Whether the one message that has come was for the fast path, which has it now."""
        message, content = self._messages[0]
        if len(self._messages) > 1 or not content.is_eof() or self._reading_paused or self.writing_paused:
            return False
        route = fast_path.route_of(message, content.total_bytes)
        if route is None or not isinstance(self.peername, tuple):
            return False
        sent = b"".join(content._buffer)  # noqa: SLF001 - looked at, not read: it may yet be the view's
        hit = fast_path.taken(route, self.peername[0], message.headers, sent)
        if hit is None:
            return False
        self._messages.popleft()
        self._parser.message_consumed()
        self._manager.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if hit.acknowledged is None:
            self.transport.write(fast_path.answer_to(hit))
        else:
            self._waits_for_kafka = self._request_in_progress = True  # the latter for a server that stops
            hit.acknowledged.add_done_callback(partial(self._answer, hit))
        return True

    def _answer(self, hit: Taken, acknowledged: asyncio.Future[None]) -> None:
        """Answer a hit of the fast path, and go on with what came after it."""
        self._waits_for_kafka = self._request_in_progress = False
        answer = fast_path.answer_to(hit, acknowledged.exception())
        if self.transport is not None:
            self.transport.write(answer)
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self._messages:
            self._wake()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> StreamResponse:
        """The answer to what is no request, or to what broke outside of every handler; the connection ends with it."""
        if status < 500:
            error: AnalyticsError = Invalid("This is not a request that can be read")
        else:
            if not isinstance(exc, ConnectionError):  # the caller is gone: nobody's fault, and nobody to be told
                super().handle_error(request, status, exc, message)  # tells the log
            error = AnalyticsError()
        name = new_request_id()
        answer = rendered(error, name)
        answer.headers["X-Request-Id"] = name
        answer.force_close()
        return answer


class Connections(Server):
    """The factory of connections."""

    def __call__(self) -> Handler:
        """A handler for one connection."""
        return Handler(self, loop=self._loop, **self._kwargs)


class Runner(AppRunner):
    """The application's runner."""

    def __init__(self, app: Any, **options: Any) -> None:
        # Bodies are inflated by whoever reads them, within limits; the server would go on inflating what was refused.
        given = {
            "access_log": None,
            "max_line_size": LONGEST_LINE,
            "max_field_size": LONGEST_LINE,
            "shutdown_timeout": FINISH_WITHIN_S,
            **options,
        }
        super().__init__(app, **{**given, "auto_decompress": False})

    async def _make_server(self) -> Any:
        server = await super()._make_server()
        server.__class__ = Connections
        return server
