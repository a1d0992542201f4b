"""Hits that wait for nothing but Kafka are answered where they arrive: without a task, a request and a response.

Of what a hit cost the web process, more than a quarter was spent on those (docs/decisions/0013-the-fast-path.md). Only
what is plain is taken: a POST to the very path of a route below, of HTTP/1.1, whole as it arrived, with a body that is
good, for a website that this process knows. All else, whatever is wrong with a hit included, goes to the view, as if it
had not been looked at; of what is taken both answer the same.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus

import orjson
import structlog
from aiohttp import HttpVersion11
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE
from aiohttp.http_parser import RawRequestMessage
from pydantic import ValidationError

from analytics_app.errors import AnalyticsError
from web import bodies
from web.errors import counted, shape_of
from web.headers import OF_PUBLIC, new_request_id
from web.taken import Taken

AtOnce = Callable[[str, Mapping[str, str], bytes], Taken | None]
"""Takes a body that came from an address (the peer's) with headers. None, or an error: it is for the view."""

ROUTES: dict[str, AtOnce] = {}
"""By path; empty in a worker."""

LEFT_TO_THE_VIEW = ("Content-Encoding", "Expect")
"""Headers of requests that are not plain."""

log = structlog.get_logger(__name__)

_HEAD = "".join(
    f"{name}: {value}\r\n"
    for name, value in {"Content-Type": "application/json", "Server": SERVER_SOFTWARE, **OF_PUBLIC}.items()
)


def route_of(message: object, length: int) -> AtOnce | None:
    """What takes a message of so many bytes; None where that is for the view."""
    if not isinstance(message, RawRequestMessage):  # what could not be read as one
        return None
    route = ROUTES.get(message.path)
    plain = (
        route is not None
        and message.method == "POST"
        and message.version == HttpVersion11
        and not (message.should_close or message.upgrade)
        and 0 < length <= bodies.LIMIT
        and not any(name in message.headers for name in LEFT_TO_THE_VIEW)
    )
    return route if plain else None


def taken(route: AtOnce, peer: str, headers: Mapping[str, str], sent: bytes) -> Taken | None:
    """The hit on its way; None where it is for the view."""
    try:
        return route(peer, headers, sent)
    except (AnalyticsError, ValidationError):  # the view meets the same, and tells the sender
        return None
    except Exception:
        log.exception("a hit could not be taken at once")
        return None


def answer_to(hit: Taken, error: BaseException | None = None) -> bytes:
    """The answer to a hit that is safe, or that failed by `error`, as it goes over the wire."""
    if error is None:
        answer = hit.accepted()
        return written(202 if answer.ignored else 200, answer.shown())
    known = counted(error if isinstance(error, AnalyticsError) else AnalyticsError())
    return written(known.status, shape_of(known), known.headers)


def written(status: int, said: Mapping[str, object], more: Mapping[str, str] | None = None) -> bytes:
    """A JSON answer, with the headers that every public answer carries."""
    body = orjson.dumps(said)
    others = "".join(f"{name}: {value}\r\n" for name, value in (more or {}).items())
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{_HEAD}{others}X-Request-Id: {new_request_id()}\r\n"
        f"Content-Length: {len(body)}\r\nDate: {rfc822_formatted_time()}\r\n\r\n"
    )
    return head.encode() + body
