"""The one reader of request bodies: limited before inflation and after it, strict about what JSON is."""

import zlib
from typing import Any

from aiohttp.web import Request, RequestPayloadError

from analytics_app.errors import FaultyField, Invalid, PayloadTooLarge
from analytics_app.intake.json_body import MAX_DEPTH, loads

LIMIT = 64 * 1024
"""Bytes a body may have, as sent and as inflated."""

LARGE = 1024 * 1024
"""The limit of chunks of samples and replays."""

GZIP = b"\x1f\x8b"
_INFLATE_GZIP = 16 + zlib.MAX_WBITS


async def read(request: Request, limit: int = LIMIT, inflated_limit: int | None = None) -> bytes:
    """The body, inflated where it was sent as gzip.

    Raises `PayloadTooLarge` where it has more than `limit` bytes before inflation, or more than `inflated_limit` (the
    same, unless given) after it (no more than that is ever held), `Invalid` where it cannot be read.
    """
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Invalid("The body's Content-Encoding is not understood: gzip, or none")
    content = request.content
    if content.is_eof() and content.total_bytes <= limit:  # it came with the headers, as short ones do
        sent = content.read_nowait()
        return inflated(sent, inflated_limit or limit) if encoding and sent.startswith(GZIP) else sent
    body = bytearray()
    try:
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
    except RequestPayloadError:
        raise Invalid("The body could not be read to its end") from None
    sent = bytes(body)
    return inflated(sent, inflated_limit or limit) if encoding and sent.startswith(GZIP) else sent


def inflated(body: bytes, limit: int) -> bytes:
    """What the gzip stream `body` holds.

    Raises `PayloadTooLarge` where that is more than `limit` bytes, `Invalid` where the stream is broken.
    """
    inflater = zlib.decompressobj(_INFLATE_GZIP)
    try:
        found = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise Invalid("The body is not valid gzip") from None
    if len(found) > limit:
        raise _too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise Invalid("The body is not valid gzip")
    return found


def json_value(body: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """The JSON in `body`. Raises `Invalid`, which says what is wrong with it."""
    try:
        return loads(body, max_depth, long_integers=True)  # the models know what fits where
    except ValueError as fault:
        raise Invalid(details=[FaultyField("", str(fault))]) from None


def json_object(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The JSON object in `body`. Raises `Invalid`, which says what is wrong with it."""
    value = json_value(body, max_depth)
    if not isinstance(value, dict):
        raise Invalid(details=[FaultyField("", "the body must be a JSON object")])
    return value


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit // 1024} KiB")
