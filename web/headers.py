"""Headers that every answer carries, streams and errors included."""

import random

from aiohttp.web import Request, RequestKey, StreamResponse
from multidict import CIMultiDict

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


# In the form that goes into an answer's headers at a stroke.
_OF_ALL = CIMultiDict({"X-Content-Type-Options": "nosniff"})
OF_PUBLIC = CIMultiDict({**_OF_ALL, **cors.ANY_ORIGIN})


def new_request_id() -> str:
    """A name for one request, for the log and for whoever asks about it."""
    # No secret, so the system need not be asked for it.
    return f"{random.getrandbits(64):016x}"


async def put_headers(request: Request, response: StreamResponse) -> None:
    """Complete `response` before its first byte goes out."""
    request[STARTED] = True
    headers = response.headers
    headers["X-Request-Id"] = request[REQUEST_ID]
    resource = request.get(RESOURCE)
    public = resource is not None and resource.public
    headers.update(OF_PUBLIC if public else _OF_ALL)
    if resource is not None and not public:
        headers.setdefault("Cache-Control", "no-store")  # numbers of a tenant: for no proxy to keep
    if headers.get("Content-Type", "").startswith("text/html"):
        for name, value in PAGE.items():
            headers.setdefault(name, value)
