"""Cleaning of texts from anywhere: what comes out can be stored, indexed, and shown."""

import math
import re
import unicodedata
from collections.abc import Mapping

MAX_BYTES = 2000
"""Longest text in UTF-8: an index entry of Postgres holds 2,704 bytes."""

MAX_PROPERTIES = 50
MAX_PROPERTY_NAME = 100
MAX_PROPERTY_TEXT = 1000
MAX_SAFE_INTEGER = 2**53 - 1
"""Largest integer that JavaScript, and so whoever reads the answer, holds exactly."""

Scalar = str | int | float | bool

# Removed: NUL, which Postgres refuses, and the marks that turn the direction of what stands beside them.
_REMOVED = re.compile("[\0\u202a-\u202e\u2066-\u2069]")
_CONTROLS = re.compile("[\x01-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(value: str, limit: int) -> str:
    """`value` without NUL, control characters, lone surrogates and space at its ends, in Unicode's form NFC.

    At most `limit` characters and `MAX_BYTES` bytes of UTF-8. Cleaning twice changes nothing. Never raises.
    """
    # Cut first: to normalise 30,000 stacked accents takes seconds.
    text = value[:limit]
    if not text.isprintable():
        text = _SURROGATES.sub("\ufffd", _CONTROLS.sub(" ", _REMOVED.sub("", text)))
    if text.isascii():
        return text[:MAX_BYTES].strip()
    text = unicodedata.normalize("NFC", text)[:limit]
    if len(text) * 4 > MAX_BYTES:
        text = text.encode()[:MAX_BYTES].decode(errors="ignore")
    return text.strip()


def clean_properties(properties: Mapping[str, object]) -> dict[str, Scalar]:
    """Properties of an event as they are stored: texts cleaned, nulls left out.

    Raises ValueError, naming the property, where a value is neither text, number nor boolean, is not finite, or is an
    integer that JavaScript cannot hold; where a name is empty or too long; and where there are more than 50.
    """
    if len(properties) > MAX_PROPERTIES:
        raise ValueError(f"properties: {len(properties)} of them, at most {MAX_PROPERTIES} are taken")
    cleaned: dict[str, Scalar] = {}
    for name, value in properties.items():
        key = clean_text(name, MAX_PROPERTY_NAME + 1)
        if not 0 < len(key) <= MAX_PROPERTY_NAME:
            shown = clean_text(name, 30)
            raise ValueError(f"properties.{shown}: a name has 1 to {MAX_PROPERTY_NAME} characters")
        if value is not None:
            cleaned[key] = _scalar(key, value)
    return cleaned


def _scalar(name: str, value: object) -> Scalar:
    if isinstance(value, str):
        return clean_text(value, MAX_PROPERTY_TEXT)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise ValueError(f"properties.{name}: integers lie within ±(2^53 - 1)")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"properties.{name}: must be finite")
        return value
    raise ValueError(f"properties.{name}: must be a text, a number or a boolean")
