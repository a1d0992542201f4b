"""The server under the API: what cannot even be read as a request is answered in the one shape, too."""

from typing import Any

from aiohttp.web import AppRunner, BaseRequest, RequestHandler, Server, StreamResponse

from analytics_app.errors import AnalyticsError, Invalid
from web.errors import rendered
from web.headers import new_request_id

LONGEST_LINE = 16 * 1024
"""Bytes of a request's first line, and of a header."""

FINISH_WITHIN_S = 2.5
"""How long requests under way may take when the server stops: a hit is answered within that."""


class Handler(RequestHandler):
    """One connection."""

    __slots__ = ()

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
