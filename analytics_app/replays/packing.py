"""Events as they rest and travel: JSON, compressed by Zstandard. Pure."""

from typing import Any

import msgspec
import orjson
import zstandard

from analytics_app.intake.json_body import loads

ON_THE_WAY, AT_REST = 3, 9
"""Levels of compression: quick where somebody waits for the answer, small where it stays for months."""

MOST_INFLATED = 8 * 1024 * 1024
"""No chunk is taken larger than 2 MiB; masking keeps lengths, cleaning of styles may add a little."""
_MOST_DEPTH = 1024

_encoder = msgspec.json.Encoder()


class Unpackable(ValueError):
    """Raised where bytes are no compressed list of events."""


def write(events: list[Any]) -> bytes:
    """Events as JSON. Raises `ValueError` where they are nested deeper than any page."""
    try:
        return _encoder.encode(events)  # orjson writes 254 levels at most, and a page may have more
    except RecursionError:
        raise ValueError("the events are nested too deep") from None


def read(said: bytes) -> Any:
    """The JSON in `said`. Raises `ValueError`, with a message for the sender."""
    try:
        return orjson.loads(said)
    except orjson.JSONDecodeError as fault:
        if "surrogate" in fault.msg:  # a text cut in the middle of an emoji, as browsers write it
            return loads(said, _MOST_DEPTH)
        raise ValueError(f"the body is not valid JSON: {fault.msg} at character {fault.pos}") from None


def compressed(said: bytes, level: int = AT_REST) -> bytes:
    """`said` as a Zstandard frame."""
    return zstandard.ZstdCompressor(level=level).compress(said)


def inflated(packed: bytes) -> bytes:
    """What `compressed` was given. Raises `Unpackable` for anything else, and beyond 8 MiB."""
    try:
        size = zstandard.frame_content_size(packed)
        if not 0 <= size <= MOST_INFLATED:
            raise Unpackable("it says to be too large")
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=MOST_INFLATED)
    except zstandard.ZstdError as fault:
        raise Unpackable(str(fault)) from None


def unpacked(packed: bytes) -> list[Any]:
    """The events in `packed`. Raises `Unpackable`."""
    try:
        events = read(inflated(packed))
    except ValueError as fault:
        raise Unpackable(str(fault)) from None
    if type(events) is not list:
        raise Unpackable("it is no list")
    return events
