"""Files that the service serves from its own package: read once, compressed once, named by their content."""

import gzip
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from aiohttp.web import Request, Response

from analytics_app.errors import NotFound

STATIC = Path(__file__).parent / "static"

TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it goes out."""

    body: bytes
    zipped: bytes
    etag: str
    content_type: str


def asset_of(body: bytes, content_type: str) -> Asset:
    """`body` ready to be sent."""
    return Asset(body, gzip.compress(body, mtime=0), f'"{sha256(body).hexdigest()[:20]}"', content_type)


@lru_cache(maxsize=32)
def asset(name: str) -> Asset:
    """The file of that name below `static`. Raises `NotFound` where it was never built."""
    try:
        body = (STATIC / name).read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{name} has not been built: run `make build`") from None
    return asset_of(body, TYPES[Path(name).suffix])


def send(request: Request, found: Asset, *, max_age_s: int, headers: dict[str, str] | None = None) -> Response:
    """The asset, or 304 where the caller has it; compressed where the caller takes that."""
    zipped = "gzip" in request.headers.get("Accept-Encoding", "").lower()
    said = {
        "ETag": found.etag,
        "Cache-Control": f"public, max-age={max_age_s}",
        "Vary": "Accept-Encoding",
        **(headers or {}),
    }
    if found.etag in request.headers.get("If-None-Match", ""):
        return Response(status=304, headers=said)
    if zipped:
        said["Content-Encoding"] = "gzip"
    return Response(
        body=found.zipped if zipped else found.body, headers=said, content_type=found.content_type, charset="utf-8"
    )
