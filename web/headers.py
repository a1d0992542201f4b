"""Headers that every answer carries, streams and errors included."""

import secrets

from aiohttp.web import Request, RequestKey, StreamResponse

from web import cors
from web.resource import RESOURCE

REQUEST_ID: RequestKey[str] = RequestKey("request_id", str)
STARTED: RequestKey[bool] = RequestKey("started", bool)

PAGE = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""Of every HTML page: nothing from elsewhere, in nobody's frame."""


def new_request_id() -> str:
    """A name for one request, for the log and for whoever asks about it."""
    return secrets.token_hex(8)


async def put_headers(request: Request, response: StreamResponse) -> None:
    """Complete `response` before its first byte goes out."""
    request[STARTED] = True
    headers = response.headers
    headers["X-Request-Id"] = request[REQUEST_ID]
    headers["X-Content-Type-Options"] = "nosniff"
    resource = request.get(RESOURCE)
    if resource is not None and resource.public:
        headers.update(cors.ANY_ORIGIN)
    elif resource is not None:
        headers.setdefault("Cache-Control", "no-store")  # numbers of a tenant: for no proxy to keep
    if response.content_type == "text/html":
        for name, value in PAGE.items():
            headers.setdefault(name, value)
