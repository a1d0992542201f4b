"""Events as rrweb records them, and chunks of them as the edge passes them on."""

import itertools
from typing import Any

from analytics_app.records import Recorded
from analytics_app.replays import packing
from tests.factories import NOON_MS, SESSION, VISITOR, WEBSITE

_ids = itertools.count(100)


def text_node(said: str, id_: int | None = None) -> dict[str, Any]:
    """A text."""
    return {"type": 3, "textContent": said, "id": id_ or next(_ids)}


def element(tag: str, *children: dict[str, Any], id_: int | None = None, **attributes: Any) -> dict[str, Any]:
    """An element; underscores in names stand for dashes."""
    named = {
        name if name.startswith(("rr_", "_css", "__")) else name.replace("_", "-").strip("-"): value
        for name, value in attributes.items()
    }
    return {"type": 2, "tagName": tag, "attributes": named, "childNodes": list(children), "id": id_ or next(_ids)}


def document(*body: dict[str, Any], head: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """A page."""
    doctype = {"type": 1, "name": "html", "publicId": "", "systemId": "", "id": 2}
    html = element("html", element("head", *head, id_=4), element("body", *body, id_=5), id_=3)
    return {"type": 0, "childNodes": [doctype, html], "id": 1}


def meta(at: float = 0, href: str = "https://example.com/", **fields: Any) -> dict[str, Any]:
    """The address and size of a page."""
    return {"type": 4, "data": {"href": href, "width": 1000, "height": 600, **fields}, "timestamp": ms(at)}


def snapshot(at: float = 0, node: dict[str, Any] | None = None) -> dict[str, Any]:
    """A whole page."""
    page = node or document(element("h1", text_node("Hello", 7), id_=6))
    return {"type": 2, "data": {"node": page, "initialOffset": {"left": 0, "top": 0}}, "timestamp": ms(at)}


def change(at: float = 0, source: int = 0, **data: Any) -> dict[str, Any]:
    """A change of any kind."""
    return {"type": 3, "data": {"source": source, **data}, "timestamp": ms(at)}


def click(at: float = 0, x: int = 10, y: int = 10) -> dict[str, Any]:
    """A click."""
    return change(at, 2, type=2, id=5, x=x, y=y)


def scroll(at: float = 0, y: int = 100) -> dict[str, Any]:
    """A scroll."""
    return change(at, 3, id=1, x=0, y=y)


def custom(at: float = 0, tag: str = "error", **payload: Any) -> dict[str, Any]:
    """An event of our recorder's own."""
    return {"type": 5, "data": {"tag": tag, "payload": payload}, "timestamp": ms(at)}


def ms(at: float) -> int:
    """Seconds after noon as events carry time."""
    return NOON_MS + round(at * 1000)


def opening(at: float = 0, href: str = "https://example.com/") -> list[dict[str, Any]]:
    """What every recording begins with."""
    return [meta(at, href), snapshot(at)]


def make_chunk(sequence: int = 0, events: list[dict[str, Any]] | None = None, **fields: Any) -> Recorded:
    """A chunk as the edge passes it on."""
    said = opening() if events is None else events
    given = {
        "at_ms": round(max((event["timestamp"] for event in said), default=NOON_MS)),
        "website_id": WEBSITE,
        "session_key": SESSION,
        "visitor": VISITOR,
        "sequence": sequence,
        "packed": packing.compressed(packing.write(said), packing.ON_THE_WAY),
        "country": "GB",
        "device_type": "desktop",
        "browser": "Firefox",
        "os": "Linux",
    }
    return Recorded(**{**given, **fields})
