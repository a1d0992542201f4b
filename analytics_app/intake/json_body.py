"""The one reader of JSON from outside: strict, and safe to use on anything."""

import json
import re

import orjson

MAX_DEPTH = 8

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SAME_BRACKETS = bytes.maketrans(b"{}", b"[]")
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+-])-?\d{19,}(?![\d.eE])")
# Pairs of surrogates and all other escapes are matched too, to be left alone: `\\ud800` is a backslash and letters.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def loads(body: bytes, max_depth: int = MAX_DEPTH, *, long_integers: bool = False) -> object:
    """The value that `body` holds as JSON. Of a name given twice in an object, the last value counts.

    A lone surrogate, which a browser writes when a script cuts a text in the middle of an emoji, becomes U+FFFD.
    Raises ValueError, with a message for the sender, on anything else that is not JSON in UTF-8: NaN and numbers beyond
    a double (`1e999`) included, and on integers beyond 64 bits and more than `max_depth` levels of nesting. With
    `long_integers` such integers are taken, for a caller that knows the bounds of each field.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    if not body.strip():
        raise ValueError("the body is empty")
    if depth_exceeds(body, max_depth):
        raise ValueError(f"the body is nested deeper than {max_depth} levels")
    too_long = _long_integer(body) if _LONG_NUMBER in body.translate(_DIGITS_ALIKE) else None
    if too_long and not long_integers:
        raise ValueError(f"the integer {too_long[:24].decode()}… needs more than 64 bits")
    try:
        return _exact(body, orjson.loads(body), too_long)
    except orjson.JSONDecodeError as fault:
        if "surrogate" not in fault.msg or b"\\u" not in body:
            raise ValueError(_said(fault)) from None
    body = _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)
    try:
        return _exact(body, orjson.loads(body), too_long)
    except orjson.JSONDecodeError as fault:
        raise ValueError(_said(fault)) from None


def _exact(body: bytes, value: object, too_long: bytes | None) -> object:
    # orjson, which has judged the body by now, reads integers beyond 64 bits as doubles: other numbers than were sent.
    if not too_long:
        return value
    try:
        return json.loads(body)
    except ValueError:  # thousands of digits
        raise ValueError(f"the integer {too_long[:24].decode()}… is too long") from None


def depth_exceeds(body: bytes, max_depth: int) -> bool:
    """Whether arrays and objects in `body` are nested deeper than `max_depth`, by the bytes alone."""
    if body.count(b"{") + body.count(b"[") <= max_depth:
        return False
    brackets = _without_texts(body).translate(_SAME_BRACKETS, _NOT_BRACKETS)
    for _ in range(max_depth):
        if not brackets:
            break
        brackets = brackets.replace(b"[]", b"")  # takes the innermost level away
    # What was never closed is left too; a body like that is refused for it, not for its depth, by the parser.
    return b"[]" in brackets or brackets.count(b"[") > max_depth


def _without_texts(body: bytes) -> bytes:
    """`body` with every text empty, so that no bracket or digit inside one is taken for structure."""
    if b"\\" in body:
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    return b'""'.join(body.split(b'"')[::2])


def _long_integer(body: bytes) -> bytes | None:
    for found in _LONG_INTEGER.finditer(_without_texts(body)):
        digits = found[0]
        if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
            return digits
    return None


def _said(fault: orjson.JSONDecodeError) -> str:
    if "UTF-8" in fault.msg:
        return "the body is not valid UTF-8"
    return f"the body is not valid JSON: {fault.msg} at character {fault.pos}"
