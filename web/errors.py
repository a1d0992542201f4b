"""Where every error becomes an answer: the one shape, whatever went wrong and wherever."""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.web import Request, RequestPayloadError, Response, StreamResponse

from analytics_app import figures
from analytics_app.db import is_away
from analytics_app.errors import (
    AnalyticsError,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Unavailable,
)
from web.headers import REQUEST_ID, STARTED, new_request_id
from web.resource import json_response

log = structlog.get_logger(__name__)

Handler = Callable[[Request], Awaitable[StreamResponse]]


@web.middleware
async def answer_errors(request: Request, handler: Handler) -> StreamResponse:
    """The handler's answer, or the error it raised as one."""
    request[REQUEST_ID] = new_request_id()
    try:
        return await handler(request)
    except AnalyticsError as error:
        return _or_cut(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _or_cut(request, _ours(error))
    except RequestPayloadError:
        return _or_cut(request, Invalid("The body could not be read to its end"))
    except Exception as error:
        if is_away(error):
            log.warning("Postgres is away", path=request.path, error=str(error).strip())
            return _or_cut(request, Unavailable("The database is away; try again"))
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            raise  # the caller is gone
        log.exception("a request crashed", request_id=request[REQUEST_ID], method=request.method, path=request.path)
        return _or_cut(request, AnalyticsError())


def counted(error: AnalyticsError) -> AnalyticsError:
    """`error`, counted among what the edge refused."""
    figures.count_edge(f"refused_{error.code.lower()}")
    return error


def shape_of(error: AnalyticsError) -> dict[str, object]:
    """The one shape of errors, as JSON holds it."""
    shape: dict[str, object] = {"ok": False, "error": error.message, "code": error.code}
    if isinstance(error, Invalid) and error.details:
        shape["details"] = [{"field": found.field, "message": found.message} for found in error.details]
    return shape


def rendered(error: AnalyticsError, request_id: str | None = None) -> Response:
    """The answer that `error` stands for. `request_id` is shown where the caller can do nothing but ask."""
    body = shape_of(error)
    if error.status == 500 and request_id:
        body["request_id"] = request_id
    return json_response(body, status=error.status, headers=error.headers)


def _or_cut(request: Request, error: AnalyticsError) -> StreamResponse:
    """The error's answer; where half of another answer has gone out, the connection ends instead."""
    if STARTED in request:
        log.warning("an answer was cut short", request_id=request[REQUEST_ID], path=request.path, error=error.message)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError(error.message)
    return rendered(error, request[REQUEST_ID])


def _ours(error: web.HTTPException) -> AnalyticsError:
    """The server's own error as one of ours."""
    if isinstance(error, web.HTTPNotFound):
        return NotFound("There is nothing at this path")
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowed(headers={"Allow": error.headers.get("Allow", "")})
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return PayloadTooLarge()
    if error.status < 500:
        return Invalid(error.reason)
    return AnalyticsError()
